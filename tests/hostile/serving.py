"""A running `lorapress serve` over a scratch folder, and requests to it byte by byte."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess

from harness import PROGRAM, Case

SECRET = b"outside the folder"


class Serve(Case):
    """A server over a scratch folder."""

    def setUp(self):
        super().setUp()
        self.site = self.tmp / "site"
        (self.site / "onnx").mkdir(parents=True)
        (self.tmp / "secret.txt").write_bytes(SECRET)
        (self.tmp / "site-too").mkdir()
        (self.tmp / "site-too/secret.txt").write_bytes(SECRET)
        (self.site / "index.html").write_text("<title>demo</title>")
        (self.site / "empty.json").write_bytes(b"")
        (self.site / ".hidden").write_bytes(SECRET)
        self.model = self.random.randbytes(5_000_011)
        (self.site / "onnx/model.onnx").write_bytes(self.model)

    @contextlib.contextmanager
    def serving(self, *options, folder=None):
        """(host, port) of a running server, which must end cleanly when it is asked to."""
        command = [PROGRAM, "serve", str(folder or self.site), "--port", "0", "--json", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            address = json.loads(process.stdout.readline())
            self.process = process
            yield address["host"], address["port"]
        finally:
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (0, ""))

    def ask(self, address, path, headers=None, method="GET"):
        """(status, headers, body) of one request on a connection of its own."""
        connection = http.client.HTTPConnection(*address, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()

    def raw(self, address, request: bytes) -> bytes:
        """Whatever comes back for these bytes, until the server closes."""
        with socket.create_connection(address, timeout=120) as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(request)
            got = b""
            with contextlib.suppress(ConnectionError):
                while part := client.recv(65536):
                    got += part
            return got
