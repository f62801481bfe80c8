from __future__ import annotations

from headstart.deploy.serve.metrics import Metrics


def test_figures_are_counted_for_each_server_on_its_own() -> None:
    waiting = [3.0]
    one, two = Metrics(lambda: waiting[0]), Metrics(lambda: 0.0)
    one.requests.labels(path="/predict", status="200").inc()
    one.requests.labels(path="/predict", status="200").inc()
    one.images.labels(outcome="unreadable").inc(4)
    one.classes.labels(label="ant").inc()
    for seconds in (0.02, 0.3, 100.0):
        one.seconds.observe(seconds)
    lines = one.text().decode().splitlines()
    assert 'headstart_requests_total{path="/predict",status="200"} 2.0' in lines
    assert 'headstart_images_total{outcome="unreadable"} 4.0' in lines
    assert 'headstart_predictions_total{label="ant"} 1.0' in lines
    buckets = [line.split()[1] for line in lines if line.startswith("headstart_request_seconds_bucket")]
    assert buckets == ["0.0", "1.0", "1.0", "1.0", "1.0", "2.0", "2.0", "2.0", "2.0", "2.0", "2.0", "3.0"]
    assert "headstart_waiting_images 3.0" in lines and "ant" not in two.text().decode()
    waiting[0] = 5.0
    assert "headstart_waiting_images 5.0" in one.text().decode().splitlines()
