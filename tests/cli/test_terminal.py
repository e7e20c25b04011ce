"""What reaches a terminal and what reaches a pipe."""

import os
import pty
import select
import subprocess
import time

from harness import BASE, PROGRAM, Case

IMAGE = BASE / "golden/image0.png"


def on_terminal(args, out=True, err=True) -> tuple[str, str, int]:
    """Standard output, standard error and exit code, each on a terminal of its own or on a pipe."""
    streams = [pty.openpty() if terminal else os.pipe() for terminal in (out, err)]
    command = [PROGRAM, *map(str, args)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=streams[0][1], stderr=streams[1][1]
    )
    for _, writer in streams:
        os.close(writer)
    texts = {reader: b"" for reader, _ in streams}
    open_readers = list(texts)
    deadline = time.monotonic() + 60
    while open_readers and time.monotonic() < deadline:
        for reader in select.select(open_readers, [], [], 1)[0]:
            try:
                piece = os.read(reader, 65536)
            except OSError:  # the other end of a terminal is gone
                piece = b""
            texts[reader] += piece
            if not piece:
                open_readers.remove(reader)
    for reader in texts:
        os.close(reader)
    first, second = (text.decode().replace("\r\n", "\n") for text in texts.values())
    return first, second, process.wait(timeout=60)


class Terminal(Case):
    """The program on pseudo-terminals."""

    def test_pipes_get_no_progress(self):
        for command in (
            ["press", BASE, self.tmp / "a"],
            ["merge", BASE, self.tmp / "b"],
            ["press", BASE, self.tmp / "c", "--json"],
        ):
            text = self.succeed(*command)  # standard error is empty
            self.assertNotRegex(text, r"[\r\x1b]")
            self.assertNotIn("[##", text)

    def test_the_bar(self):
        text, bar, code = on_terminal(["press", BASE, self.out])
        self.assertEqual(code, 0)
        self.assertNotIn("\x1b", text)
        self.assertIn("is ready", text)
        for phase in ("check", "write", "caption"):
            self.assertIn(f"\r\x1b[K{phase} [", bar)
        self.assertTrue(bar.endswith("\r\x1b[K"), repr(bar[-80:]))  # nothing of it stays

    def test_the_bar_and_a_piped_report(self):
        text, bar, code = on_terminal(["press", BASE, self.out, "--json"], out=False)
        self.assertEqual(code, 0)
        self.assertTrue(text.startswith("{"))
        self.assertIn("write [", bar)

    def test_an_error_on_a_terminal(self):
        text, err, code = on_terminal(["press", BASE, BASE])
        self.assertEqual((code, text), (2, ""))
        self.assertRegex(err, r"\A(\r\x1b\[K)?lorapress: [^\n]+\n\Z")

    def test_captions_stream(self):
        """A terminal sees the text as it comes, and in the end the same as a pipe."""
        self.succeed("press", BASE, self.out)
        piped = self.succeed("caption", self.out, IMAGE)
        streamed, err, code = on_terminal(["caption", self.out, IMAGE])
        self.assertEqual((streamed, err, code), (piped, "", 0))
