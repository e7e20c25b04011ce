"""lorapress serve against clients that are slow, large or broken; and its command line."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

from harness import PROGRAM, run
from serving import Serve


class Clients(Serve):
    """Clients that are slow, large or broken; the others must not notice."""

    def test_large_headers(self):
        line = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        with self.serving() as address:
            for request in [
                line + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n",
                line + b"".join(b"X%d: a\r\n" % i for i in range(100_000)) + b"\r\n",
                b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"A" * 1_000_000,
            ]:
                reply = self.raw(address, request)
                if reply:  # a reset may swallow it
                    self.assertRegex(reply, rb"\AHTTP/1\.[01] 4\d\d ")
            self.assertEqual(self.ask(address, "/")[0], 200)
            peak = (
                Path(f"/proc/{self.process.pid}/status").read_text().split("VmHWM:")[1].split()[0]
            )
            self.assertLess(int(peak), 100_000)

    def test_nonsense(self):
        with self.serving() as address:
            for request in [
                b"\r\n\r\n\r\n\r\nGARBAGE\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
                b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
                b"GET\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
                self.random.randbytes(5000),
            ]:
                with socket.create_connection(address, timeout=120) as client:
                    client.sendall(request)
                    client.shutdown(socket.SHUT_WR)
                    with contextlib.suppress(ConnectionError):
                        while client.recv(65536):
                            pass
                self.assertEqual(self.ask(address, "/")[0], 200, request[:40])

    def test_slow_clients(self):
        """More of them than there are threads, and a download beside them."""
        with self.serving() as address, contextlib.ExitStack() as stack:
            slow = [
                stack.enter_context(socket.create_connection(address, timeout=120))
                for _ in range(40)
            ]
            for client in slow[:20]:  # half a request
                client.sendall(b"GET / HTTP/1.1\r\nHost: local")
            for client in slow[20:]:  # a download that nobody reads
                client.sendall(b"GET /onnx/model.onnx HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for _ in range(5):
                self.assertTrue(self.ask(address, "/onnx/model.onnx")[2] == self.model)

    def test_clients_that_leave(self):
        with self.serving() as address:
            for _ in range(100):
                with socket.create_connection(address, timeout=120) as client:
                    client.sendall(b"GET /onnx/model.onnx HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    client.recv(1000)
            self.assertEqual(self.ask(address, "/")[0], 200)
            files = Path(f"/proc/{self.process.pid}/fd")
            self.wait_until(
                lambda: not any("model.onnx" in target for target in self.open_files(files)),
                "the files of clients that left are closed",
            )

    def open_files(self, folder: Path) -> list[str]:
        """What the descriptors lead to that are still there when they are looked at."""
        found = []
        for file in folder.iterdir():
            with contextlib.suppress(OSError):
                found.append(os.readlink(file))
        return found

    def test_a_file_that_shrinks(self):
        """The connection ends; what was promised is not made up."""
        path = self.site / "big.bin"
        path.write_bytes(b"a" * 50_000_000)
        with self.serving() as address:
            with contextlib.closing(http.client.HTTPConnection(*address, timeout=120)) as client:
                client.request("GET", "/big.bin")
                response = client.getresponse()
                os.truncate(path, 1000)
                with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
                    self.assertEqual(set(response.read()), {ord("a")})
            self.assertEqual(self.ask(address, "/")[0], 200)


class Command(Serve):
    """Its arguments, its one line, its end."""

    def test_says_where(self):
        process = subprocess.Popen(
            [PROGRAM, "serve", str(self.site), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        line = process.stdout.readline()
        self.assertRegex(line, rf"^{self.site} is served at http://127\.0\.0\.1:\d+/ \(Ctrl-C")
        port = int(line.split("127.0.0.1:")[1].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(b"GET /onnx/model.onnx HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(10)
            process.send_signal(signal.SIGINT)  # in the middle of a download
            out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out, err), (0, "", ""))

    def test_taken_port(self):
        with self.serving() as (_, port):
            self.refuse("serve", self.site, "--port", port, code="io", has=[str(port), "--port 0"])

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            self.skipTest("no IPv6 here")
        with self.serving("--host", "::1") as address:
            self.assertEqual(self.ask(address, "/")[0], 200)

    def test_refuses(self):
        self.refuse("serve", self.tmp / "none", code="not_found", has=["none"])
        self.refuse("serve", self.site / "index.html", code="not_found", has=["index.html"])
        self.refuse(
            "serve", self.site, "--host", "256.1.1.1", code="invalid_argument", has=["--host"]
        )
        self.refuse("serve", self.site, "--host", "192.0.2.1", "--port", 0, code="io")

    def test_open(self):
        """--open runs xdg-open with the address; without one it says so and goes on."""
        tools = self.tmp / "tools"
        tools.mkdir()
        (tools / "xdg-open").write_text(f'#!/bin/sh\necho "$1" >{self.tmp}/opened\n')
        (tools / "xdg-open").chmod(0o755)
        for path, has in ((f"{tools}:{os.environ['PATH']}", ""), ("/nowhere", "no browser")):
            process = subprocess.Popen(
                [PROGRAM, "serve", str(self.site), "--port", "0", "--open", "--json"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PATH": path},
            )
            url = json.loads(process.stdout.readline())["url"]
            if has:
                self.assertIn(has, process.stderr.readline())
            else:
                opened = self.tmp / "opened"
                self.wait_until(
                    lambda: opened.exists() and opened.read_text() == url + "\n",  # noqa: B023
                    "xdg-open has the address",
                )
            process.terminate()
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)

    def test_a_folder_with_an_odd_name(self):
        odd = self.tmp / "a b\u00e9%20"
        self.site.rename(odd)
        with self.serving(folder=odd) as address:
            self.assertEqual(self.ask(address, "/")[0], 200)
        self.assertEqual(run("serve", "--help").code, 0)
