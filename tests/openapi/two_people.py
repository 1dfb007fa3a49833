"""Two people talk through the client that openapi-python-client makes of our document: two_people.py URL FOLDER TAG PASSWORD.

FOLDER is where the client was generated. What an answer is, is the generated type alone: nothing here reads JSON."""

import sys

url, folder, tag, password = sys.argv[1:]
sys.path.insert(0, folder)

from aether_client import AuthenticatedClient, Client  # noqa: E402
from aether_client.api.auth import auth_login, auth_register  # noqa: E402
from aether_client.api.rooms import messages_list, messages_post, rooms_create, rooms_join, rooms_list, rooms_members  # noqa: E402
from aether_client.models import CreateRoom, Credentials, Login, MemberPage, MessagePage, PostMessage, Register, Room, RoomPage  # noqa: E402
from aether_client.models import NewRoomKind, RoomKind, RoomRole, RoomScope  # noqa: E402


def expect(kind, answer):
    if not isinstance(answer, kind):
        raise SystemExit(f"{answer!r} is no {kind}")
    return answer


def enter(name):
    stranger, username = Client(base_url=url), f"{name}-{tag}"
    made = expect(Login, auth_register.sync(client=stranger, body=Register(
        username=username, email=f"{username}@example.org", password=password, first_name=name, last_name="Generated")))
    came = expect(Login, auth_login.sync(client=stranger, body=Credentials(username=username, password=password)))
    assert came.user.id == made.user.id and came.user.username == username
    return AuthenticatedClient(base_url=url, token=came.access_token), came.user


ada, ada_is = enter("ada")
ben, ben_is = enter("ben")
room = expect(Room, rooms_create.sync(client=ada, body=CreateRoom(name=f"Engines {tag}", kind=NewRoomKind.PUBLIC)))
assert room.kind is RoomKind.PUBLIC
assert expect(Room, rooms_join.sync(room.id, client=ben)).member_count == 2
for person, text in ((ada, "What hath God wrought?"), (ben, "Loud & clear: ✓")):
    answer = messages_post.sync_detailed(room.id, client=person, body=PostMessage(body=text))
    assert answer.status_code == 201, answer
heard = expect(MessagePage, messages_list.sync(room.id, client=ben)).items
assert [(message.sender_id, message.body) for message in sorted(heard, key=lambda message: message.seq)] == \
    [(ada_is.id, "What hath God wrought?"), (ben_is.id, "Loud & clear: ✓")], heard
members = expect(MemberPage, rooms_members.sync(room.id, client=ada)).items
assert {member.user_id: member.role for member in members} == {ada_is.id: RoomRole.OWNER, ben_is.id: RoomRole.MEMBER}, members
mine = expect(RoomPage, rooms_list.sync(client=ben, scope=RoomScope.MINE)).items
assert [(one.id, one.role) for one in mine] == [(room.id, RoomRole.MEMBER)], mine
