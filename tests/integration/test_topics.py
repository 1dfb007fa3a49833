"""aether-topics says whether a cluster is as the table wants it, and changes nothing that is there."""

import glob
import os
import subprocess

import pytest

from stack import REPOSITORY


@pytest.fixture
def aether_topics(stack):
    def run(*arguments):
        folder = os.environ.get("AETHER_TEST_BUILD") or os.path.join(REPOSITORY, "build")
        return subprocess.run([os.path.join(folder, "topics/aether-topics"), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60,
                              env={"PATH": "/usr/bin:/bin", "AETHER_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap()})
    return run


@pytest.fixture
def altered(stack):
    """Kafka's own tool, as an operator would use it; put back afterwards."""
    jars = os.path.join(REPOSITORY, ".state", "jars")
    assert glob.glob(jars + "/kafka_2.13-*.jar"), jars

    def alter(topic, setting, value):
        subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", jars + "/*", "kafka.admin.ConfigCommand", "--bootstrap-server",
                        stack.bootstrap(), "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", f"{setting}={value}"],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    yield alter
    alter("rooms.events", "retention.ms", "-1")


def test_a_cluster_that_ops_up_made_differs_in_nothing(aether_topics):
    result = aether_topics("verify")
    assert result.returncode == 0, result


def test_what_was_altered_is_told_with_what_it_should_be_and_left_alone(aether_topics, altered):
    altered("rooms.events", "retention.ms", "1000000000")
    for command in ("verify", "apply"):
        result = aether_topics(command)
        told = result.stdout + result.stderr
        assert result.returncode == 1, result
        line = next(line for line in told.splitlines() if "rooms.events" in line)
        assert "retention.ms" in told and "1000000000" in told and "-1" in told, line
    altered("rooms.events", "retention.ms", "-1")
    assert aether_topics("verify").returncode == 0


def test_another_number_of_partitions_is_told_and_never_changed(aether_topics):
    result = aether_topics("verify", "--set", "topics.partitions=9")
    assert result.returncode == 1 and "partitions" in result.stdout + result.stderr, result
    assert aether_topics("apply", "--set", "topics.partitions=9").returncode == 1
    assert aether_topics("verify").returncode == 0


def test_describe_needs_no_broker(aether_topics):
    result = aether_topics("describe", "--set", "kafka.bootstrap.servers=127.0.0.1:1")
    assert result.returncode == 0 and "rooms.events" in result.stdout, result
