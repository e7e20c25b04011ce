"""lorapress serve gives files as they are, with the headers browsers need, and nothing else."""

import contextlib
import http.client
import os
import threading

from serving import SECRET, Serve

ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Files(Serve):
    """What a browser sees."""

    def test_files_and_headers(self):
        types = {
            "/": "text/html; charset=utf-8",
            "/index.html": "text/html; charset=utf-8",
            "/index.html?v=1&x=../..": "text/html; charset=utf-8",
            "/empty.json": "application/json",
            "/onnx/model.onnx": "application/octet-stream",
            "/onnx/../": None,
            "/none": None,
            "/onnx/": None,
        }
        with self.serving() as address:
            for path, content_type in types.items():
                status, headers, body = self.ask(address, path)
                self.assertEqual(status, 200 if content_type else 404, path)
                for name, value in {**ISOLATION, "Cache-Control": "no-cache"}.items():
                    self.assertEqual(headers[name], value, path)
                self.assertEqual(int(headers["Content-Length"]), len(body), path)
                if content_type:
                    self.assertEqual(headers["Content-Type"], content_type, path)
                    self.assertEqual(headers["Accept-Ranges"], "bytes")
                    self.assertRegex(headers["ETag"], r'^"[0-9a-f-]+"$')
            self.assertEqual(self.ask(address, "/onnx/model.onnx")[2], self.model)
            status, headers, _ = self.ask(address, "/onnx")
            self.assertEqual((status, headers["Location"]), (301, "/onnx/"))

    def test_head(self):
        with self.serving() as address:
            for extra in ({}, {"Range": "bytes=0-9"}):
                status, headers, body = self.ask(address, "/onnx/model.onnx", extra, "HEAD")
                self.assertEqual((status, body), (200, b""))
                self.assertEqual(int(headers["Content-Length"]), len(self.model))
                self.assertEqual(headers["ETag"], self.ask(address, "/onnx/model.onnx")[1]["ETag"])

    def test_other_methods(self):
        with self.serving() as address:
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"):
                status, headers, _ = self.ask(address, "/index.html", method=method)
                self.assertEqual(status, 405, method)
                self.assertEqual(headers["Allow"], "GET, HEAD")
            body = (
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
                + b"x" * 99
            )
            self.assertIn(b" 405 ", self.raw(address, body).split(b"\r\n")[0])

    def test_ranges(self):
        size = len(self.model)
        with self.serving() as address:
            for text, first, last in [
                ("0-0", 0, 0),
                ("1-7", 1, 7),
                ("0-", 0, size - 1),
                (f"{size - 1}-", size - 1, size - 1),
                ("-9", size - 9, size - 1),
                (f"-{size * 2}", 0, size - 1),
                (f"4194304-{size * 2}", 4194304, size - 1),
                ("0-99999999999999999999999", 0, size - 1),
            ]:
                status, headers, body = self.ask(
                    address, "/onnx/model.onnx", {"Range": f"bytes={text}"}
                )
                self.assertEqual(status, 206, text)
                self.assertEqual(headers["Content-Range"], f"bytes {first}-{last}/{size}")
                self.assertEqual(int(headers["Content-Length"]), last - first + 1)
                self.assertTrue(body == self.model[first : last + 1], text)
            for text in (f"{size}-", f"{size}-{size}", "-0", "99999999999999999999999-"):
                status, headers, _ = self.ask(
                    address, "/onnx/model.onnx", {"Range": f"bytes={text}"}
                )
                self.assertEqual((status, headers["Content-Range"]), (416, f"bytes */{size}"), text)
            status, _, _ = self.ask(address, "/empty.json", {"Range": "bytes=0-"})
            self.assertEqual(status, 416)

    def test_bad_ranges_are_none(self):
        many = ",".join(f"{i}-{i + 1}" for i in range(0, 2000, 2))
        with self.serving() as address:
            for text in (
                "",
                "bytes",
                "bytes=",
                "bytes=-",
                "bytes=7-1",
                "bytes=a-b",
                "bytes=-1-2",
                "lines=0-1",
                "bytes=0-1,5-6",
                f"bytes={many}",
                "bytes=0-0x10",
            ):
                status, headers, body = self.ask(address, "/onnx/model.onnx", {"Range": text})
                self.assertEqual(status, 200, text)
                self.assertNotIn("Content-Range", headers)
                self.assertTrue(body == self.model, text)

    def test_etags(self):
        path = "/onnx/model.onnx"
        with self.serving() as address:
            etag = self.ask(address, path)[1]["ETag"]
            for text in (etag, f"W/{etag}", f'"x", {etag}', "*"):
                for method in ("GET", "HEAD"):
                    status, headers, body = self.ask(
                        address, path, {"If-None-Match": text, "Range": "bytes=0-9"}, method
                    )
                    self.assertEqual((status, body), (304, b""), text)
                    self.assertEqual(headers["ETag"], etag)
                    self.assertEqual(headers["Cross-Origin-Resource-Policy"], "same-origin")
            self.assertEqual(self.ask(address, path, {"If-None-Match": '"x"'})[0], 200)
            ranged = {"Range": "bytes=5-9"}
            self.assertEqual(self.ask(address, path, {**ranged, "If-Range": etag})[0], 206)
            for other in ('"x"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
                self.assertEqual(self.ask(address, path, {**ranged, "If-Range": other})[0], 200)
            (self.site / "onnx/model.onnx").write_bytes(self.model[::-1])
            self.assertEqual(self.ask(address, path, {"If-None-Match": etag})[0], 200)
            status, _, body = self.ask(address, path, {**ranged, "If-Range": etag})
            self.assertEqual((status, body == self.model[::-1]), (200, True))

    def test_kept_alive(self):
        with (
            self.serving() as address,
            contextlib.closing(http.client.HTTPConnection(*address, timeout=60)) as connection,
        ):
            for _ in range(50):
                connection.request("GET", "/index.html")
                response = connection.getresponse()
                self.assertEqual(response.status, 200)
                self.assertEqual(response.read(), b"<title>demo</title>")

    def test_downloads_at_once(self):
        """Two interleaved downloads of one file are each the file."""
        with self.serving() as address:
            connections = [http.client.HTTPConnection(*address, timeout=60) for _ in range(2)]
            responses = []
            for connection in connections:
                connection.request("GET", "/onnx/model.onnx")
                responses.append(connection.getresponse())
            bodies = [b"", b""]
            while sum(map(len, bodies)) < 2 * len(self.model):
                for i, response in enumerate(responses):
                    bodies[i] += response.read(100_000)
            for body in bodies:
                self.assertTrue(body == self.model)
            results = []
            threads = [
                threading.Thread(
                    target=lambda: results.append(self.ask(address, "/onnx/model.onnx")[2])
                )
                for _ in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual([result == self.model for result in results], [True] * 20)
            for connection in connections:
                connection.close()


class Outside(Serve):
    """No way out of the folder."""

    def test_traversal(self):
        paths = [
            "/../secret.txt",
            "/../site-too/secret.txt",
            "/onnx/../../secret.txt",
            "/%2e%2e/secret.txt",
            "/%2E%2E%2Fsecret.txt",
            "/..%2fsecret.txt",
            "/.%2e/secret.txt",
            "/%252e%252e/secret.txt",
            "/onnx/..;/..;/secret.txt",
            "/..\\secret.txt",
            "/%5c..%5csecret.txt",
            "/%c0%ae%c0%ae/secret.txt",
            "/index.html%00/../../secret.txt",
            "/index.html%00",
            f"/{self.tmp}/secret.txt",
            f"{self.tmp}/secret.txt",
            "//etc/passwd",
            "/.hidden",
            "/%2ehidden",
            "/onnx/./model.onnx",
            "secret.txt",
            "*",
            "file:///etc/passwd",
        ]
        with self.serving() as address:
            for path in paths:
                request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                reply = self.raw(address, request.encode())
                self.assertRegex(reply, rb"\AHTTP/1\.1 40[04] ", path)
                self.assertNotIn(SECRET, reply, path)
                self.assertNotIn(b"root:", reply, path)
            nul = b"GET /index.html\0/../../secret.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self.assertNotIn(SECRET, self.raw(address, nul + b"GET /x HTTP/1.0\r\n\r\n"))
            self.assertEqual(self.ask(address, "/index.html")[0], 200)

    def test_links(self):
        """Links are followed as long as they stay inside."""
        (self.site / "in.html").symlink_to("index.html")
        (self.site / "whole.html").symlink_to(self.site / "index.html")
        (self.site / "models").symlink_to("onnx")
        (self.site / "out.txt").symlink_to("../secret.txt")
        (self.site / "far.txt").symlink_to(self.tmp / "secret.txt")
        (self.site / "up").symlink_to("..")
        (self.site / "twin").symlink_to(self.tmp / "site-too")
        (self.site / "chain").symlink_to("up/site-too")
        (self.site / "loop").symlink_to("loop")
        (self.site / "dead").symlink_to("nothing")
        (self.site / "proc").symlink_to("/proc/self")
        with self.serving() as address:
            for path in ("/in.html", "/whole.html", "/models/model.onnx"):
                self.assertEqual(self.ask(address, path)[0], 200, path)
            for path in (
                "/out.txt",
                "/far.txt",
                "/up/secret.txt",
                "/twin/secret.txt",
                "/twin/",
                "/twin",
                "/up",
                "/chain/secret.txt",
                "/loop",
                "/dead",
                "/proc/environ",
                "/up/site/index.html/",
            ):
                status, _, body = self.ask(address, path)
                self.assertEqual((status, SECRET in body), (404, False), path)

    def test_a_link_that_changes(self):
        """Exchanged while it is read, a link still never leads out."""
        inside, outside = self.site / "index.html", self.tmp / "secret.txt"
        link, new = self.site / "link", self.site / "new"
        link.symlink_to(inside)
        stop = threading.Event()

        def flip():
            target = [outside, inside]
            while not stop.is_set():
                new.symlink_to(target[0])
                new.replace(link)
                target.reverse()

        thread = threading.Thread(target=flip)
        thread.start()
        with self.serving() as address:
            statuses = set()
            for _ in range(300):
                status, _, body = self.ask(address, "/link")
                statuses.add(status)
                self.assertNotIn(SECRET, body)
            stop.set()
            thread.join()
        self.assertLessEqual(statuses, {200, 404})

    def test_what_is_no_file(self):
        os.mkfifo(self.site / "pipe")
        unreadable = self.site / "locked.txt"
        unreadable.write_bytes(b"x")
        unreadable.chmod(0)
        with self.serving() as address:
            self.assertEqual(self.ask(address, "/pipe")[0], 404)
            self.assertEqual(self.ask(address, "/index.html/")[0], 404)
            if os.geteuid() != 0:
                self.assertEqual(self.ask(address, "/locked.txt")[0], 404)

    def test_other_host_names(self):
        """A web site whose name was made to point here (DNS rebinding) reads nothing."""
        with self.serving() as (_, port):
            address = ("127.0.0.1", port)
            for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", ""):
                self.assertEqual(self.ask(address, "/", {"Host": host})[0], 421, host)
            for host in ("localhost", f"LOCALHOST:{port}", "[::1]"):
                self.assertEqual(self.ask(address, "/", {"Host": host})[0], 200, host)
        with self.serving("--host", "0.0.0.0") as (_, port):
            address = ("127.0.0.1", port)
            self.assertEqual(self.ask(address, "/", {"Host": "demo.example"})[0], 200)
