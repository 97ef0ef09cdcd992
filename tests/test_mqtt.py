"""Events at an MQTT broker: a real mosquitto, killed and started again; and what is no broker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("paho", reason="pip install '.[mqtt]'")

from made_broker import MOSQUITTO, Listener, Mosquitto

from visavis.errors import OutputError
from visavis.watch.events import Event
from visavis.watch.mqtt import MqttSink, credentials, mqtt_sink, parse_broker

MAKE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
    "subjectAltName=DNS:localhost"
).split()
broker_needed = pytest.mark.skipif(MOSQUITTO is None, reason="apt-get install mosquitto")


def event(number: int) -> Event:
    return Event("lost", "camera 0", float(number), text=f"number {number}")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("mqtts://broker.lan", "mqtts://broker.lan:8883/visavis"),
        ("mqtt://127.0.0.1:1884/site/door", "mqtt://127.0.0.1:1884/site/door"),
        ("mqtts://[::1]/door/", "mqtts://::1:8883/door"),
    ],
)
def test_an_address_is_a_host_and_the_beginning_of_topics(address, shown):
    broker = parse_broker(address, "me", "secret")
    assert (broker.shown, "secret" in repr(broker)) == (shown, False)


@pytest.mark.parametrize(
    ("address", "password", "said"),
    [
        ("broker.lan", "", "not the address of a broker"),
        ("http://broker.lan", "", "not the address of a broker"),
        ("mqtts://", "", "not the address of a broker"),
        ("mqtts://host:port", "", "not the address of a broker"),
        ("mqtts://host/door/#", "", "not the address of a broker"),
        ("mqtts://me:secret@host", "", "expected no user and no password"),
        ("mqtt://broker.lan", "secret", "the password would be readable on its way"),
    ],
)
def test_what_is_no_address_is_refused_and_shows_no_password(address, password, said):
    with pytest.raises(OutputError, match=said) as raised:
        parse_broker(address, "me", password)
    assert "secret" not in str(raised.value)


def test_who_logs_in_stands_in_the_environment_or_in_a_file(tmp_path):
    (tmp_path / "password").write_text("from a file\n")
    file = {"VISAVIS_MQTT_USER": "me", "VISAVIS_MQTT_PASSWORD_FILE": str(tmp_path / "password")}
    assert credentials({}) == ("", "")
    assert credentials(file) == ("me", "from a file")
    assert credentials(file | {"VISAVIS_MQTT_PASSWORD": "here"}) == ("me", "here")
    (tmp_path / "password").unlink()
    with pytest.raises(OutputError, match="password cannot be read: No such file"):
        credentials(file)


def test_a_broker_that_is_not_there_is_said():
    with pytest.raises(OutputError, match=r"mqtt://127\.0\.0\.1:9/visavis: Connection refused"):
        MqttSink(parse_broker("mqtt://127.0.0.1:9"))


def test_without_a_broker_nothing_is_sent():
    with mqtt_sink(None) as sink:
        assert sink(event(1)) is None


@pytest.fixture
def mosquitto(tmp_path) -> Iterator[Mosquitto]:
    server = Mosquitto(tmp_path)
    yield server
    server.stop(kill=True)


@broker_needed
@pytest.mark.slow
def test_events_and_who_is_there_are_published(mosquitto):
    listener = Listener(mosquitto.port)
    with mqtt_sink(mosquitto.broker()) as sink:
        sink(event(7))
        listener.until(lambda: listener.numbers)
    listener.until(lambda: ("test/status", "offline", False) in listener.messages)
    topics = [(topic, text) for topic, text, _ in listener.messages if topic == "test/status"]
    assert topics == [("test/status", "online"), ("test/status", "offline")]
    (line,) = [text for topic, text, _ in listener.messages if topic == "test/events/lost"]
    assert json.loads(line) == {
        "event": "lost",
        "source": "camera 0",
        "at": 7.0,
        "text": "number 7",
        "sighting": None,
    }
    listener.close()
    late = Listener(mosquitto.port)
    late.until(lambda: late.messages)
    assert ("test/status", "offline", True) in late.messages  # kept
    late.close()


@broker_needed
@pytest.mark.slow
def test_a_watcher_that_dies_is_offline(mosquitto):
    """The last will: the program is killed, and cannot say so itself."""
    listener = Listener(mosquitto.port)
    program = (
        "import sys, time; from visavis.watch.mqtt import *; "
        "MqttSink(parse_broker(sys.argv[1])); time.sleep(60)"
    )
    watcher = subprocess.Popen([sys.executable, "-c", program, mosquitto.broker().shown])
    listener.until(lambda: ("test/status", "online", False) in listener.messages)
    watcher.kill()
    watcher.wait()
    listener.until(lambda: ("test/status", "offline", False) in listener.messages)
    assert [text for _, text, _ in listener.messages] == ["online", "offline"]
    listener.close()


@broker_needed
@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True])
def test_a_broker_that_is_killed_and_started_again_gets_every_event(mosquitto, kill):
    """Events go on meanwhile: what was not acknowledged is sent again."""
    listener = Listener(mosquitto.port)
    with mqtt_sink(mosquitto.broker()) as sink:
        for number in range(300):
            sink(event(number))
            if number in (100, 200):
                # What is acknowledged is the broker's to keep: killed, it keeps what it sent on.
                listener.until(lambda: sink.waiting == 0)
                mosquitto.stop(kill=kill)
            if number in (150, 250):
                mosquitto.start()
            time.sleep(0.002)
        listener.until(lambda: sink.waiting == 0)
    listener.until(lambda: len(listener.numbers) == 300)
    assert listener.numbers == set(range(300))
    listener.close()


@broker_needed
@pytest.mark.slow
def test_what_does_not_fit_while_the_broker_is_away_is_counted(mosquitto, caplog):
    sink = MqttSink(mosquitto.broker(), most=10, patience=1)
    Listener(mosquitto.port).close()
    until = time.monotonic() + 10
    while sink.waiting and time.monotonic() < until:
        time.sleep(0.01)
    mosquitto.stop(kill=True)
    time.sleep(0.2)
    for number in range(25):
        sink(event(number))
    assert (sink.waiting, sink.refused) == (10, 15)
    assert caplog.text.count("too many events wait: newer ones are lost") == 1
    with pytest.raises(OutputError, match="25 events were not acknowledged by the broker"):
        sink.close()


@broker_needed
@pytest.mark.slow
def test_a_wrong_password_is_said_and_no_password_is_told(tmp_path, caplog):
    caplog.set_level("DEBUG")
    subprocess.run(
        ["mosquitto_passwd", "-c", "-b", tmp_path / "users", "me", "hunter2"], check=True
    )
    os.chmod(tmp_path / "users", 0o600)
    server = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {tmp_path / 'users'}")
    try:
        with pytest.raises(OutputError, match=r"the broker refuses: Not authorized") as raised:
            MqttSink(server.broker(user="me", password="hunter3"))
        with mqtt_sink(server.broker(user="me", password="hunter2")) as sink:
            sink(event(1))
    finally:
        server.stop()
    assert "hunter" not in str(raised.value) + caplog.text


@broker_needed
@pytest.mark.slow
# paho leaves the socket of a failed handshake to Python's collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_wants_a_certificate_that_is_trusted(tmp_path, monkeypatch):
    """The attack: somebody else's broker in between, with a certificate of its own making."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [*MAKE, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    server = Mosquitto(
        tmp_path, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}"
    )
    address = f"mqtts://localhost:{server.port}/test"
    try:
        with pytest.raises(OutputError, match="certificate verify failed"):
            MqttSink(parse_broker(address))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with mqtt_sink(parse_broker(address, "me", "secret")) as sink:
            sink(event(1))
    finally:
        server.stop()
