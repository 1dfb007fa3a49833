"""What the producer says stays true when the broker is killed, stopped and paused while records are appended."""

import collections
import json
import os
import signal
import subprocess
import unittest

import broker
from broker import wait_until

PARTITIONS = 6
LOAD = 50000  # bytes of report: about 2,000 records
APPENDER = broker.program("AETHER_TEST_APPENDER", "tests/log/appender")
TOPICS = broker.program("AETHER_TEST_TOPICS", "topics/aether-topics")
Record = collections.namedtuple("Record", "n batch delivery partition offset")


class Appender:
    """The program of that name, and what it reported."""

    def __init__(self, node, mode, topic, outstanding, *settings):
        self.node, self.topic = node, topic
        self.report = os.path.join(node.folder, f"report-{mode}-{topic}")
        command = [APPENDER, mode, topic, str(PARTITIONS), str(outstanding), "300", self.report,
                   "--set", f"kafka.bootstrap.servers={node.bootstrap}"]
        for setting in settings:
            command += ["--set", setting]
        self.errors = open(self.report + ".log", "w+")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def reported(self):
        return os.path.getsize(self.report) if os.path.exists(self.report) else 0

    def wait_reported(self, size, what):
        before = self.reported()
        wait_until(lambda: self.reported() > before + size, 60, what)

    def logged(self, event):
        with open(self.report + ".log") as log:
            return event in log.read()

    def finish(self):
        self.process.terminate()
        out, _ = self.process.communicate(timeout=120)
        self.errors.seek(0)
        self.log = self.errors.read()
        self.errors.close()
        assert self.process.returncode == 0, self.log
        self.summary = json.loads(out)
        with open(self.report) as report:
            self.records = [Record(int(n), int(b), d, int(p), int(o)) for n, b, d, p, o in map(str.split, report)]
        print(self.topic, self.summary, flush=True)

    def check(self, test):
        """Delivered records are where they were said to be, once; those not appended are nowhere."""
        in_log = self.node.read(self.topic)
        places = collections.defaultdict(list)
        for place, payload in in_log.items():
            places[int(payload.split(";")[0])].append(place)
        by_n = {}
        for r in self.records:
            test.assertNotIn(r.n, by_n, "a record was reported twice")
            by_n[r.n] = r
            if r.delivery == "DELIVERED":
                test.assertEqual(len(places[r.n]), 1, f"delivered and {len(places[r.n])} times in the log: {r}")
                if r.offset >= 0:
                    test.assertEqual(places[r.n], [(r.partition, r.offset)], r)
            elif r.delivery == "NOT_APPENDED":
                test.assertEqual(places[r.n], [], f"said not to be appended: {r}")
            else:
                test.assertLessEqual(len(places[r.n]), 1, r)
        test.assertEqual([n for n in places if n not in by_n and places[n]], [], "in the log and never reported")
        return places, by_n

    def check_batches(self, test):
        """What the log holds of a batch is, in each partition, a prefix of it."""
        places, by_n = self.check(test)
        batches = collections.defaultdict(list)
        for r in by_n.values():
            batches[r.batch, r.n % PARTITIONS].append(r.n)
        broken = 0
        for (batch, partition), numbers in batches.items():
            present = [bool(places[n]) for n in sorted(numbers)]
            test.assertEqual(present, sorted(present, reverse=True), f"batch {batch} of partition {partition} has a hole: {present}")
            offsets = [places[n][0][1] for n in sorted(numbers) if places[n]]
            test.assertEqual(offsets, sorted(offsets), f"batch {batch} of partition {partition} is out of order")
            broken += not all(present)
        return broken


class BrokerDeath(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = broker.Broker()
        cls.node.__enter__()
        cls.addClassCleanup(cls.node.__exit__)
        subprocess.run([TOPICS, "apply", "--set", f"kafka.bootstrap.servers={cls.node.bootstrap}", "--set", f"topics.partitions={PARTITIONS}"],
                       check=True, stdout=subprocess.DEVNULL)

    def both_modes(self, *settings):
        own = Appender(self.node, "own", self.own_topic, 64, *settings)
        batch = Appender(self.node, "batch", self.batch_topic, 300, *settings)
        for a in (own, batch):
            self.addCleanup(a.process.kill)
            a.wait_reported(LOAD, "the first deliveries")
        return own, batch

    def finish(self, own, batch):
        own.finish()
        batch.finish()
        own.check(self)
        batch.check_batches(self)
        for a in (own, batch):
            self.assertGreater(a.summary["delivered"], 0)

    def test_killed_and_started_again_and_again(self):
        self.own_topic, self.batch_topic = "rooms.commands", "rooms.events"
        own, batch = self.both_modes()
        for _ in range(3):
            self.node.kill()
            self.node.start()
            self.node.wait_ready()
            for a in (own, batch):
                a.wait_reported(LOAD, "appending goes on after the broker is back")
        self.finish(own, batch)

    def test_away_for_longer_than_a_record_waits(self):
        self.own_topic, self.batch_topic = "sessions.commands", "sessions.events"
        own, batch = self.both_modes("producer.message_timeout_ms=1000")
        self.node.kill()
        wait_until(lambda: batch.logged("producer renewed"), 20, "the batch is given up")
        self.node.start()
        self.node.wait_ready()
        for a in (own, batch):
            a.wait_reported(LOAD, "appending goes on after the broker is back")
        self.finish(own, batch)
        self.assertGreater(own.summary["turned_away"], 0)
        self.assertGreater(batch.summary["turned_away"], 0)

    def test_paused_for_longer_than_a_record_waits(self):
        """What was sent before the pause may be appended after it: unknown, and in the log at most once."""
        self.own_topic, self.batch_topic = "users.parked", "messages.parked"
        own, batch = self.both_modes("producer.message_timeout_ms=1000")
        self.node.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: batch.logged("producer renewed"), 20, "the batch is given up")
        finally:
            self.node.signal(signal.SIGCONT)
        for a in (own, batch):
            a.wait_reported(LOAD, "appending goes on after the pause")
        self.finish(own, batch)
        self.assertGreater(batch.summary["unknown"] + batch.summary["not_appended"], 0)  # unknown only if a request was on its way


class BrokerStart(unittest.TestCase):
    def test_it_stops_cleanly_and_keeps_its_records(self):
        with broker.Broker() as node:
            subprocess.run([TOPICS, "apply", "--set", f"kafka.bootstrap.servers={node.bootstrap}"], check=True, stdout=subprocess.DEVNULL)
            appender = Appender(node, "own", "rooms.commands", 16)
            appender.wait_reported(LOAD, "the first deliveries")
            appender.finish()
            self.assertIn(node.stop(), (0, 143))
            node.start()
            node.wait_ready()
            appender.check(self)

    def test_a_port_in_use_is_said_in_one_line(self):
        node = broker.Broker()
        with broker.socket.socket() as taken:
            taken.bind(("127.0.0.1", node.port))
            taken.listen()
            result = subprocess.run([os.path.join(broker.OPS, "start"), "--jars", broker.jars(), "--data", node.folder, "--port", str(node.port),
                                     "--controller-port", str(node.controller_port)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        node.__exit__()
        self.assertEqual(result.returncode, 69)
        self.assertEqual(len(result.stderr.splitlines()), 1)
        self.assertIn(f"port {node.port} is in use", result.stderr)


if __name__ == "__main__":
    if not broker.jars():
        broker.skip("no Kafka jars; run ops/kafka/fetch DIR and set AETHER_TEST_KAFKA_JARS=DIR")
    unittest.main(verbosity=2)
