"""aether-topics against a broker of its own: creates what is missing, tells what differs, changes nothing that is there."""

import json
import os
import re
import subprocess
import unittest

import broker

TOPICS = broker.program("AETHER_TEST_TOPICS", "topics/aether-topics")
with open(os.path.join(broker.REPOSITORY, "topics", "topics.def"), encoding="utf-8") as table:
    NAMES = re.findall(r'^TOPIC\("([^"]+)"', table.read(), re.MULTILINE)


def aether_topics(node, *arguments):
    servers = ["--set", f"kafka.bootstrap.servers={node.bootstrap}"] if node else []
    return subprocess.run([TOPICS, *arguments, *servers], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, env={"PATH": os.environ["PATH"]})


def alter(node, topic, setting):
    """With Kafka's own tool, as an operator would."""
    subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", broker.jars() + "/*", "kafka.admin.ConfigCommand",
                    "--bootstrap-server", node.bootstrap, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", setting],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


def metadata(node):
    """{topic: partitions} of those that are not Kafka's own."""
    return {name: partitions for name, partitions in every_topic(node).items() if not name.startswith("__")}


def every_topic(node):
    out = subprocess.run(["kcat", "-b", node.bootstrap, "-L", "-J"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {topic["topic"]: len(topic["partitions"]) for topic in json.loads(out)["topics"]}


class Topics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = broker.Broker()
        cls.addClassCleanup(cls.node.__exit__)
        cls.node.__enter__()

    def test_1_on_an_empty_cluster_everything_is_missing(self):
        result = aether_topics(self.node, "verify")
        self.assertEqual(result.returncode, 1, result)
        self.assertEqual([line.split(":")[0] for line in result.stdout.splitlines()], NAMES)
        self.assertTrue(all("missing" in line for line in result.stdout.splitlines()))
        self.assertEqual(metadata(self.node), {})

    def test_2_apply_creates_the_table_and_a_second_one_nothing(self):
        result = aether_topics(self.node, "apply")
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(len(result.stdout.splitlines()), len(NAMES))
        self.assertEqual(metadata(self.node), {name: 1 if name.startswith("accounts.") else 6 for name in NAMES})
        self.assertEqual(every_topic(self.node)["__consumer_offsets"], 4, "whoever joins a group need not wait for its coordinator")
        again = aether_topics(self.node, "apply")
        self.assertEqual(again.returncode, 0, again)
        self.assertIn(f"all {len(NAMES)} topics are as the table says", again.stdout)
        self.assertEqual(aether_topics(self.node, "verify").returncode, 0)

    def test_3_another_retention_is_told_and_left_alone(self):
        alter(self.node, "rooms.events", "retention.ms=604800000")
        for command in ("verify", "apply", "verify"):
            result = aether_topics(self.node, command)
            self.assertEqual(result.returncode, 1, result)
            self.assertEqual(len(result.stdout.splitlines()), 1, result)
            self.assertIn("rooms.events: retention.ms is 604800000, the table says -1", result.stdout)
        told = json.loads(aether_topics(self.node, "verify", "--json").stdout)
        self.assertEqual([(d["topic"], d["what"], d["is"], d["wanted"]) for d in told], [("rooms.events", "retention.ms", "604800000", "-1")])
        alter(self.node, "rooms.events", "retention.ms=-1")
        self.assertEqual(aether_topics(self.node, "verify").returncode, 0)

    def test_4_partitions_and_replicas_are_told_and_never_changed(self):
        result = aether_topics(self.node, "apply", "--set", "topics.partitions=9", "--set", "topics.replication_factor=3")
        self.assertEqual(result.returncode, 1, result)
        lines = result.stdout.splitlines()
        self.assertEqual(len([line for line in lines if "partitions is 6, the table says 9; set topics.partitions" in line]), len(NAMES) - 2, result)
        self.assertEqual(len([line for line in lines if "replication.factor is 1, the table says 3" in line]), len(NAMES), result)
        self.assertEqual(metadata(self.node)["rooms.events"], 6)

    def test_5_a_missing_one_is_created_beside_the_others(self):
        subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", broker.jars() + "/*", "org.apache.kafka.tools.TopicCommand",
                        "--bootstrap-server", self.node.bootstrap, "--delete", "--topic", "users.parked"],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        broker.wait_until(lambda: "users.parked" not in metadata(self.node), 20, "the topic is deleted")
        result = aether_topics(self.node, "apply")
        self.assertEqual((result.returncode, result.stdout), (0, "users.parked: created with 6 partitions\n"))

    def test_6_more_replicas_than_brokers_are_refused_in_one_line(self):
        with broker.Broker() as other:
            result = aether_topics(other, "apply", "--set", "topics.replication_factor=3")
        self.assertEqual(result.returncode, 2, result)
        self.assertEqual(len(result.stderr.splitlines()), 1, result)
        self.assertIn("accounts.commands", result.stderr)


class WithoutBroker(unittest.TestCase):
    def test_no_broker_is_said_in_one_line(self):
        for command in ("apply", "verify"):
            result = aether_topics(None, command, "--set", "kafka.bootstrap.servers=127.0.0.1:1", "--set", "topics.timeout_ms=1000")
            self.assertEqual(result.returncode, 2, result)
            self.assertEqual(len(result.stderr.splitlines()), 1, result)
            self.assertIn("no Kafka broker answers at 127.0.0.1:1 within 1000 ms", result.stderr)

    def test_describe_prints_the_table(self):
        result = aether_topics(None, "describe")
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual([line.split()[0] for line in result.stdout.splitlines()[1:]], NAMES)
        table = {topic["name"]: topic for topic in json.loads(aether_topics(None, "describe", "--json", "--set", "topics.partitions=12").stdout)}
        self.assertEqual(list(table), NAMES)
        self.assertEqual(table["accounts.events"]["partitions"], 1)
        self.assertEqual(table["rooms.events"]["partitions"], 12)
        self.assertEqual(table["rooms.events"]["config"]["retention.ms"], "-1")
        self.assertEqual(table["rooms.commands"]["config"]["retention.ms"], "604800000")
        self.assertEqual(table["users.parked"]["config"]["retention.ms"], "2592000000")
        self.assertEqual(table["rooms.events"]["config"]["cleanup.policy"], "delete")

    def test_commands_and_events_of_a_stream_have_the_same_partitions(self):
        for count in (1, 6, 30):
            table = json.loads(aether_topics(None, "describe", "--json", "--set", f"topics.partitions={count}").stdout)
            partitions = {topic["name"]: topic["partitions"] for topic in table}
            for name in partitions:
                if name.endswith(".commands"):
                    self.assertEqual(partitions[name], partitions[name.replace(".commands", ".events")])

    def test_wrong_usage_and_wrong_settings_are_told(self):
        for arguments in ((), ("destroy",), ("verify", "--yaml"), ("verify", "--json", "more"), ("verify", "--set", "topics.partitions=0")):
            result = aether_topics(None, *arguments)
            self.assertEqual(result.returncode, 64, result)
            self.assertEqual(result.stdout, "")
            self.assertTrue(result.stderr)


if __name__ == "__main__":
    if not broker.jars():
        broker.skip("no Kafka jars; run ops/kafka/fetch DIR and set AETHER_TEST_KAFKA_JARS=DIR")
    unittest.main(verbosity=2)
