"""What operators look at."""

import re

import pytest

import stack as stack_module
from client import Client
from stack import http_get, parse_metrics, total, wait_until


def test_a_gateway_that_lives_says_so(urls):
    for url in urls:
        status, body = http_get(url + "/api/v1/health")
        assert status == 200, body


def test_detailed_health_names_each_dependency_with_its_latency(urls):
    answer = Client(urls).get("/health/detailed")
    assert answer.status == 200, answer
    dependencies = answer.json["dependencies"]
    names = {d["name"]: d for d in dependencies} if isinstance(dependencies, list) else dependencies
    assert {"kafka", "postgres", "redis"} <= set(names)
    for dependency in names.values():
        assert dependency["status"] in ("up", "ok") and dependency["latencyMs"] >= 0, answer


def test_ready_means_that_writes_would_be_taken(stack, urls):
    client = Client(urls)
    assert client.get("/health/ready").status == 200
    with stack.without("postgres"):
        wait_until(lambda: client.get("/health/ready").status == 503, 20, "not ready without PostgreSQL")
        assert client.get("/health").status == 200, "alive all the same"
        down = client.get("/health/detailed")
        names = {d["name"]: d for d in down.json["dependencies"]}
        assert names["postgres"]["status"] == "down" and names["kafka"]["status"] == "up", down
    wait_until(lambda: client.get("/health/ready").status == 200, 30, "ready again")


def exposition(url):
    import urllib.request

    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain"), answer.headers
        return answer.read().decode()


def check_exposition(text):
    """The text format 0.0.4: help and type before the samples of a name, histograms cumulative with +Inf and count."""
    types, samples = {}, parse_metrics(text)
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in types, f"{name} has two types"
            types[name] = kind
            assert f"# HELP {name} " in text
    for sample in samples:
        name = sample.split("{")[0]
        assert name in types or re.sub(r"_(bucket|sum|count)$", "", name) in types, sample
    for name in (n for n, kind in types.items() if kind == "histogram"):
        series = {}
        for sample, value in samples.items():
            match = re.fullmatch(re.escape(name) + r'_bucket\{(.*?),?le="([^"]+)"\}', sample)
            if match:
                series.setdefault(match[1], []).append((float(match[2].replace("+Inf", "inf")), value))
        for labels, buckets in series.items():
            counts = [value for _, value in sorted(buckets)]
            assert counts == sorted(counts) and sorted(buckets)[-1][0] == float("inf"), (name, labels)
    return samples


def test_the_gateways_metrics_are_prometheus_text_and_count_requests(stack, urls):
    client = Client(urls[:1])
    before = check_exposition(exposition(urls[0] + "/metrics"))
    for _ in range(5):
        client.get("/health")
    after = check_exposition(exposition(urls[0] + "/metrics"))
    assert total(after, "aether_gateway_requests_total") >= total(before, "aether_gateway_requests_total") + 5
    assert after["process_resident_memory_bytes"] > 1e6 and after["process_cpu_seconds_total"] > 0


@pytest.mark.parametrize("worker", ["users", "messages"])
def test_a_workers_metrics_count_what_it_decides(stack, worker, ada, room):
    for process in stack.workers(worker):
        samples = check_exposition(exposition(process["metrics"]))
        assert samples["process_resident_memory_bytes"] > 1e6
        assert http_get(process["metrics"].replace("/metrics", "/health"))[0] == 200
    if worker == "messages":
        count = sum(total(m, "aether_worker_commands_total") for m in stack.metrics("messages"))
        ada.say(room, "Hello")
        assert sum(total(m, "aether_worker_commands_total") for m in stack.metrics("messages")) > count


def test_a_worker_that_keeps_up_has_no_lag(stack, ada, room):
    ada.say(room, "Hello")
    wait_until(lambda: sum(total(m, "aether_worker_lag") for m in stack.metrics("messages")) == 0, 10, "no lag")
