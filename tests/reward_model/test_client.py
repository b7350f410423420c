"""The client of a served reward model against a small server: what it sends, what it tries again, what is no score."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from medical_rl.errors import RewardFailed, UserError
from medical_rl.images import encode_png
from medical_rl.rewards import reward_model_client
from medical_rl.rewards.reward_model_client import RewardModelClient
from medical_rl.sample import Sample


@pytest.fixture
def server(monkeypatch):
    """(base address, requests seen, list of (status, body) still to be given; the last one stays)."""
    seen, replies = [], [(200, {"data": [{"probs": [7.25]}]})]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
            status, body = replies.pop(0) if len(replies) > 1 else replies[0]
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    monkeypatch.setattr(reward_model_client, "FIRST_PAUSE_S", 0.01)
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}", seen, replies
    running.shutdown()


@pytest.fixture
def sample():
    import numpy as np

    picture = encode_png(np.zeros((8, 8), dtype=np.uint8))
    return Sample("1", "demo", "Effusion?", "yes_no", "no", images=(picture,))


def score(address, sample, **settings):
    return asyncio.run(RewardModelClient(address, **settings).score(sample, "<answer>no</answer>"))


def test_the_image_the_question_and_the_response_are_sent(server, sample):
    address, seen, _ = server
    assert score(address + "/", sample) == 7.25
    (path, body), (user, assistant) = seen[0], seen[0][1]["messages"]
    assert path == "/classify" and body["use_activation"] is False and body["add_generation_prompt"] is False
    assert user["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert user["content"][1]["text"] == "Effusion?" and assistant == {
        "role": "assistant",
        "content": "<answer>no</answer>",
    }


def test_a_passing_fault_is_tried_again(server, sample):
    address, seen, replies = server
    replies[:0] = [(503, {}), (429, {})]
    assert score(address, sample) == 7.25 and len(seen) == 3


@pytest.mark.parametrize(
    "reply, attempts",
    [
        ((500, {"error": "cuda"}), 3),
        ((400, {"error": "too long"}), 1),
        ((200, {"data": []}), 1),
        ((200, b"<html>"), 1),
    ],
)
def test_what_is_no_score_is_a_failure_with_its_reason(server, sample, reply, attempts):
    address, seen, replies = server
    replies[:] = [reply]
    with pytest.raises(RewardFailed, match="/classify"):
        score(address, sample, max_attempts=3)
    assert len(seen) == attempts


def test_a_server_that_is_not_there_is_a_failure(sample):
    with pytest.raises(RewardFailed, match="ConnectError"):
        score("http://127.0.0.1:9", sample, max_attempts=1)


def test_a_restricted_row_is_not_sent(server, sample):
    import dataclasses

    address, seen, _ = server
    restricted = dataclasses.replace(sample, restricted=True)
    with pytest.raises(UserError, match="conf.reward_model.local=true"):
        score(address, restricted)
    assert seen == [] and score(address, restricted, local=True) == 7.25


def test_one_client_serves_several_event_loops(server, sample):
    model = RewardModelClient(server[0])
    assert [asyncio.run(model.score(sample, "x")) for _ in range(2)] == [7.25, 7.25]


def test_settings_are_checked_by_name():
    with pytest.raises(UserError, match="base_url"):
        RewardModelClient.from_config({"base_url": None})
    with pytest.raises(UserError, match="Did you mean 'base_url'"):
        RewardModelClient.from_config({"base_ulr": "http://x"})


def test_a_transparent_image_is_sent_as_it_was_trained_on():
    import io

    import numpy as np
    from PIL import Image

    from medical_rl.images import decode

    pixels = np.random.default_rng(0).integers(0, 255, (9, 9, 4), np.uint8)
    Image.fromarray(pixels, "RGBA").save(buffer := io.BytesIO(), format="PNG")
    sent = reward_model_client.without_transparency(buffer.getvalue())
    with Image.open(io.BytesIO(sent)) as image:
        assert image.mode == "RGB" and np.array_equal(
            np.asarray(image), np.asarray(decode(buffer.getvalue()))
        )
    grey = encode_png(pixels[:, :, 0])
    assert reward_model_client.without_transparency(grey) is grey
