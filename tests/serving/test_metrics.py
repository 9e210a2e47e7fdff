"""Prometheus' text form under TensorFlow Serving's names."""

import re
import threading

from nlp_suite.serving.metrics import Metrics


def test_counters_and_labels_are_escaped():
    metrics = Metrics()
    metrics.count("request_count", model_name='a"b\\c\nd', status="OK")
    metrics.count("request_count", 2, model_name="m", status="OK")
    lines = metrics.text().decode().splitlines()
    assert r':tensorflow:serving:request_count{model_name="a\"b\\c\nd",status="OK"} 1' in lines
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2' in lines
    assert lines.count("# TYPE :tensorflow:serving:request_count counter") == 1


def test_buckets_add_up():
    metrics = Metrics()
    for value in (5, 10, 11, 1e12):
        metrics.observe("request_latency", value, model_name="m")
    text = metrics.text().decode()
    bounds = re.findall(r'request_latency_bucket\{model_name="m",le="([^"]+)"\} (\d+)', text)
    assert bounds[:3] == [("10", "2"), ("18", "3"), ("32.4", "3")]
    assert len(bounds) == 34 and bounds[-1] == ("+Inf", "4") and bounds[-2][1] == "3"
    assert ':tensorflow:serving:request_latency_count{model_name="m"} 4' in text
    assert "# TYPE :tensorflow:serving:request_latency histogram" in text


def test_large_counts_are_exact():
    metrics = Metrics()
    metrics.count("request_count", 12_345_678, model_name="m")
    assert 'request_count{model_name="m"} 12345678\n' in metrics.text().decode()


def test_threads_lose_no_count():
    metrics = Metrics()

    def count():
        for _ in range(2000):
            metrics.count("request_count", model_name="m")
            metrics.observe("request_latency", 1, model_name="m")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = metrics.text().decode()
    assert 'request_count{model_name="m"} 16000\n' in text and 'request_latency_count{model_name="m"} 16000\n' in text
