"""What the page's server gives away, and above all what it does not."""

import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from converters.errors import InputError
from toolkit.cli.app import outcome
from toolkit.errors import ServeError
from toolkit.serve import litertjs
from toolkit.serve.open_page import bundle_of
from toolkit.serve.server import PageServer
from toolkit.serve.site import MIME, site_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(tmp_path):
    """A run directory with more in it than may be served."""
    run = tmp_path / "run"
    for name in ("bundle/decoder.tflite", "bundle/voice.json", "index.html", "results.json", "manifest.json",
                 "audio/1.wav", "recipe.lock.yaml"):  # fmt: skip
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(f"this is {name}")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.wav").write_text("secret")
    (run / "audio" / "link.wav").symlink_to(tmp_path / "secret.wav")
    return run


def answered(asked):
    if asked.get("text") == "wrong":
        raise InputError("nothing to say", where="/sentence", hint="say something")
    if asked.get("text") == "defect":
        raise ZeroDivisionError("of our own making")
    return json.dumps(asked).encode()


@pytest.fixture
def server(run, tmp_path):
    wasm = tmp_path / "a.wasm"
    wasm.write_bytes(b"\0asm")
    site = site_of(run / "bundle", ("decoder.tflite", "../../secret.txt"), run, {"core/wasm/a.wasm": wasm})
    with PageServer(site, answered) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


@pytest.mark.parametrize(
    ("path", "mime"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/main.js", "text/javascript; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/litertjs/core/wasm/a.wasm", "application/wasm"),
        ("/bundle/decoder.tflite", "application/octet-stream"),
        ("/report/index.html", "text/html; charset=utf-8"),
        ("/report/results.json", "application/json"),
        ("/report/audio/1.wav", "audio/wav"),
    ],
)
def test_files_of_the_page_come_with_their_type_isolated_from_other_origins(server, path, mime):
    status, headers, body = ask(server, path)
    assert status == 200 and body
    assert headers["Content-Type"] == mime
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert ask(server, path, "HEAD")[2] == b""


@pytest.mark.parametrize(
    "path",
    [
        "/bundle/voice.json", "/report/manifest.json", "/report/recipe.lock.yaml", "/report/audio/link.wav",
        "/bundle/../../secret.txt", "/../secret.txt", "/report/../../secret.txt", "/report/audio/../../../secret.txt",
        "/bundle/%2e%2e/%2e%2e/secret.txt", "/report/..%2f..%2fsecret.txt", "//etc/passwd", "/bundle/", "/report",
        "/bundle/decoder.tflite/", "/bundle/decoder.tflite%00.wav", "/bundle\\..\\secret.txt", "/page/../server.py",
    ],
)  # fmt: skip
def test_what_is_not_listed_does_not_exist(server, path):
    status, _, body = ask(server, path)
    assert status == 404
    assert b"secret" not in body and b"this is" not in body


def test_the_traversal_check_has_teeth(run, tmp_path):
    """The twin: a site that did list an outside file would hand it out, so the 404s above are the list's doing."""
    site = site_of(run / "bundle", ("decoder.tflite",), run, {"../secret.txt": tmp_path / "secret.txt"})
    assert site.files["/litertjs/../secret.txt"].read_text() == "secret"
    assert not [path for path in site.files.values() if path.name == "secret.wav"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(server, run, method):
    assert ask(server, "/report/index.html", method)[0] == 501
    assert (run / "index.html").read_text() == "this is index.html"


def test_names_of_other_hosts_and_other_sites_are_refused(server):
    assert ask(server, "/", Host="evil.example")[0] == 403
    assert ask(server, "/", Host=f"localhost:{server.server_port}")[0] == 200
    assert ask(server, "/sentence", Sec_Fetch_Site="cross-site")[0] == 403
    assert ask(server, "/sentence", Sec_Fetch_Site="same-origin")[0] == 200


def test_it_listens_on_loopback_only(server):
    assert server.server_address[0] == "127.0.0.1"
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in sorted(own - {"127.0.0.1"}):
        with socket.socket() as other:
            other.settimeout(2)
            assert other.connect_ex((address, server.server_port)) != 0


def test_a_sentence_is_asked_for_by_query_and_errors_keep_their_code(server):
    status, headers, body = ask(server, "/sentence?phonemes=h%C9%99&seed=3")
    assert (status, json.loads(body)) == (200, {"phonemes": "hə", "seed": "3"})
    assert headers["Content-Type"] == "application/octet-stream"
    status, _, body = ask(server, "/sentence?text=wrong")
    assert status == 422 and body.startswith(b"error[input/unusable]: nothing to say")
    assert ask(server, "/sentence?text=" + "a" * 5000)[0] == 414


def test_a_defect_is_told_to_the_page_and_to_the_terminal(server):
    told = queue.Queue()
    server.report = told.put
    status, _, body = ask(server, "/sentence?text=defect")
    assert status == 500 and body.startswith(b"error[internal/unclassified]: ZeroDivisionError")
    assert ask(server, "/sentence")[0] == 200
    assert "of our own making" in told.get(timeout=10) and told.empty()


def test_a_taken_port_is_one_error(server):
    with pytest.raises(ServeError) as caught:
        PageServer(server.site, answered, server.server_port)
    assert caught.value.code == "serve/port"


def test_every_listed_file_has_a_type(server):
    assert {path.suffix for path in server.site.files.values()} <= set(MIME)


def test_the_policy_allows_the_pages_import_map_and_no_other_inline_script(server):
    html = ask(server, "/")[2].decode()
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html)
    assert inline == ['<script type="importmap">']
    scripts = re.search(r"script-src ([^;]*)", server.site.policy).group(1)
    assert scripts.count("'sha256-") == 1 and "unsafe-inline" not in scripts and "'unsafe-eval'" not in scripts
    assert "http" not in server.site.policy and not re.findall(r"https?://", html)


@pytest.mark.parametrize("name", ["index.html", "results.json", "bundle", ""])
def test_a_run_is_known_by_its_report_or_its_bundle(run, name):
    assert bundle_of(run / name) == (run / "bundle", run)


def test_a_bundle_that_was_copied_has_no_report(run, tmp_path):
    copied = tmp_path / "copied"
    copied.mkdir()
    (copied / "voice.json").write_text("{}")
    assert bundle_of(copied) == (copied, None)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A stand-in for LiteRT.js whose pinned digests are its own."""
    content = b"export {};"
    digest = litertjs.hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(litertjs, "FILES", dict.fromkeys(litertjs.FILES, digest))
    for name in litertjs.FILES:
        path = tmp_path / "npm" / "node_modules" / "@litertjs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "npm"


def test_litertjs_is_taken_only_as_pinned(installed):
    assert set(litertjs.litertjs_files(installed)) == set(litertjs.FILES)
    changed = installed / "node_modules" / "@litertjs" / "core" / "dist" / "index.js"
    changed.write_bytes(b"export {}; // and more")
    with pytest.raises(litertjs.ExtraMissing) as caught:
        litertjs.litertjs_files(installed)
    assert caught.value.code == "serve/litertjs-differs" and caught.value.where == str(changed)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("nothing", None, "serve/no-bundle"),
        ("empty", {}, "serve/no-bundle"),
        ("damaged", {"voice.json": "{"}, "input/bundle"),
        ("foreign", {"engine.json": "{}"}, "engine/bundle"),
    ],
)
def test_what_is_no_bundle_is_one_error(tmp_path, installed, capsys, name, content, code):
    if content is not None:
        (tmp_path / name).mkdir()
        for file, text in content.items():
            (tmp_path / name / file).write_text(text)
    user = ["--user", "anna"] if name == "foreign" else []
    assert outcome(["serve", str(tmp_path / name), "--litertjs", str(installed), *user]) == 2
    assert capsys.readouterr().err.startswith(f"error[{code}]")


def test_missing_litertjs_is_one_error_with_the_command_that_installs_it(tmp_path, run, capsys):
    assert outcome(["serve", str(run), "--litertjs", str(tmp_path / "none")]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error[serve/litertjs-missing]")
    assert f"npm install --prefix {tmp_path / 'none'} @litertjs/core@{litertjs.VERSION}" in printed


def test_an_option_for_the_other_kind_of_bundle_is_refused(run, capsys):
    assert outcome(["serve", str(run), "--user", "anna"]) == 2
    assert "--user does nothing for this bundle" in capsys.readouterr().err


SERVED = """
import sys
from pathlib import Path
from toolkit.cli import app
from toolkit.serve import open_page
from toolkit.serve.server import PageServer
from toolkit.serve.site import site_of
open_page.open_page = lambda given, **_: PageServer(site_of(given / "bundle", (), given, {}), lambda asked: b"")
app.run(["serve", sys.argv[1]])
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_when_interrupted(run, how):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVED, str(run)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )  # fmt: skip
    address = process.stdout.readline()
    assert re.match(r"http://127\.0\.0\.1:\d+/ ", address)
    process.send_signal(how)
    printed, problems = process.communicate(timeout=30)
    assert (process.returncode, printed, problems) == (0, "stopped\n", "")
