"""Captions from Python are the program's for every kind of image; threads; nothing leaks."""

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

import lorapress
from harness import Case
from pressed import IMAGES, MORE_IMAGES, folder, programs_captions

ALL = [*IMAGES, *MORE_IMAGES]


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Odd:
    """What says that it is an array."""

    def __init__(self, facts):
        self.__array_interface__ = facts


class Captions(Case):
    @classmethod
    def setUpClass(cls):
        cls.captioner = lorapress.Captioner(folder(), threads=1)
        cls.addClassCleanup(cls.captioner.close)

    def test_are_the_programs(self):
        expected = programs_captions()
        self.assertGreater(len(set(expected)), 2)
        self.assertEqual(self.captioner(ALL), expected)
        self.assertEqual(self.captioner(map(str, ALL), batch_size=3), expected)
        self.assertEqual(self.captioner(ALL[0]), expected[:1])
        self.assertEqual(self.captioner([]), [])

    def test_of_several_groups_at_once(self):
        with lorapress.Captioner(folder(), threads=3, at_once=0) as captioner:
            for batch_size in (1, 2, 8):
                texts = captioner(ALL * 3, batch_size=batch_size)
                self.assertEqual(texts, programs_captions() * 3)

    def test_of_bytes_and_pillow_are_those_of_the_file(self):
        expected = programs_captions()
        self.assertEqual(self.captioner([path.read_bytes() for path in ALL]), expected)
        self.assertEqual(
            self.captioner([bytearray(ALL[0].read_bytes()), memoryview(ALL[1].read_bytes())]),
            expected[:2],
        )
        opened = [Image.open(path) for path in ALL]
        self.assertEqual(self.captioner(opened), expected)

    def test_of_arrays_with_any_strides(self):
        rgb = np.asarray(Image.open(IMAGES[0]).convert("RGB"))
        gray = np.asarray(Image.open(IMAGES[0]).convert("L"))
        rgba = np.dstack([rgb, gray])
        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)).transpose(1, 2, 0)
        backwards = np.ascontiguousarray(rgb[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
        wide = np.zeros((rgb.shape[0] + 9, rgb.shape[1] + 7, 3), np.uint8)
        part = wide[4:-5, 3:-4]
        part[...] = rgb
        text = programs_captions()[0]
        arrays = [rgb, rgba, planes, backwards, part, np.asfortranarray(rgb)]
        self.assertEqual(self.captioner(arrays), [text] * len(arrays))
        as_rgb = self.captioner(np.dstack([gray] * 3))
        self.assertEqual(self.captioner([gray, gray[:, :, None]]), as_rgb * 2)

    def test_settings_are_the_command_lines(self):
        expected = programs_captions("--num-beams", "3", "--max-new-tokens", "7")
        self.assertEqual(self.captioner(ALL, num_beams=3, max_new_tokens=7), expected)
        expected = programs_captions("--temperature", "0.9", "--seed", "5")
        self.assertEqual(self.captioner(ALL, temperature=0.9, seed=5), expected)
        self.assertNotEqual(expected, programs_captions())
        for settings, message in (
            ({"num_beams": 99}, '"num_beams" is 99, expected 1 to 64'),
            ({"num_beam": 2}, "num_beam is no option of this call"),
            ({"prompt": 3}, "prompt: expected text, found 3"),
            ({"batch_size": 0}, "batch_size 0, expected 1 to 256"),
            ({"batch_size": "8"}, "batch_size '8', expected a whole number"),
            ({"temperature": float("nan")}, "temperature: "),
            ({"top_p": float("inf")}, "top_p: "),
            ({"prompt": b"a"}, "prompt: expected text, found bytes"),
            ({"prompt": "\udcff"}, "prompt: '\\udcff' is not UTF-8"),
            ({"prompt": object()}, "is neither a number, text, path nor a list"),
        ):
            with self.assertRaises(lorapress.LorapressError) as caught:
                self.captioner(IMAGES, **settings)
            self.assertEqual(caught.exception.code, "invalid_argument")
            self.assertIn(message, str(caught.exception))

    def test_each_goes_on_behind_an_image_that_is_none(self):
        missing = self.tmp / "missing.png"
        cut = Image.open(IMAGES[0])
        cut.fp.close()
        cut.fp = None
        images = [missing, IMAGES[0], b"none", np.zeros((2, 2, 3)), None, cut, IMAGES[1]]
        results = list(self.captioner.each(iter(images), batch_size=2))
        codes = [r.code if isinstance(r, lorapress.LorapressError) else "" for r in results]
        bad = "invalid_argument"
        self.assertEqual(codes[:5], ["not_found", "", "unsupported", bad, bad])
        self.assertNotEqual(codes[5], "")
        self.assertEqual([results[1].text, results[6].text], programs_captions()[:2])
        self.assertEqual(results[1].text, programs_captions()[0])
        self.assertGreater(len(results[1].ids), 0)
        self.assertGreater(results[1].encode_ms, 0)
        with self.assertRaises(lorapress.LorapressError) as caught:
            self.captioner([IMAGES[0], missing])
        self.assertIn(str(missing), str(caught.exception))

    def test_an_error_has_the_place_in_the_callers_list(self):
        data = IMAGES[0].read_bytes()
        for wrong, start in (
            (b"none", "images[9]: the image"),
            (None, "images[9]: an image is"),
            ("/nowhere.png", "/nowhere.png: "),
        ):
            with self.assertRaises(lorapress.LorapressError) as caught:
                self.captioner([data] * 9 + [wrong], batch_size=2)
            self.assertEqual(str(caught.exception)[: len(start)], start)
        with self.assertRaisesRegex(lorapress.LorapressError, "^the image: is not a JPEG"):
            self.captioner(b"none")
        *_, error = self.captioner.each([data] * 3 + [b"none"], batch_size=2)
        self.assertEqual(str(error)[:24], "the image: is not a JPEG")

    def test_whatever_is_wrong_with_an_image_is_its_error(self):
        cut = IMAGES[0].read_bytes()[:200]
        pixels = {"shape": (4, 4, 3), "typestr": "|u1"}
        images = [
            "/nowhere/\ud800.png",
            f"{IMAGES[0]}\0.png",
            Odd({}),
            Odd({**pixels, "data": None}),
            Odd({**pixels, "data": b"\7" * 48}),  # a buffer, not an address
            io.BytesIO(cut),
            Image.new("La", (4, 4)),  # which Pillow cannot convert
            Image.open(io.BytesIO(cut)),
            self.tmp / "a\nb.png",
        ]
        *errors, last = self.captioner.each([*images, IMAGES[0]])
        self.assertEqual(last.text, programs_captions()[0])
        bad, broken = "invalid_argument", "invalid_file"
        codes = [bad] * 6 + [broken] * 2 + ["not_found"]
        self.assertEqual([error.code for error in errors], codes)
        for image, error in zip(images, errors, strict=True):
            self.assertNotIn("\n", str(error))
            with self.assertRaises(lorapress.LorapressError):
                self.captioner(image)

    def test_what_are_no_images(self):
        with open(IMAGES[0], "rb") as file:
            for wrong, message in ((None, "not NoneType"), (3, "not int"), (file, "read()")):
                for call in (self.captioner, lambda given: list(self.captioner.each(given))):
                    with self.assertRaises(lorapress.LorapressError) as caught:
                        call(wrong)
                    self.assertIn(message, str(caught.exception))

    def test_one_image_is_one_for_each(self):
        (result,) = self.captioner.each(str(IMAGES[0]))
        self.assertEqual(result.text, programs_captions()[0])

    def test_progress(self):
        calls = []
        self.captioner(ALL, batch_size=4, progress=lambda *call: calls.append(call))
        self.assertEqual(calls, [("caption", i + 1, len(ALL)) for i in range(len(ALL))])


class Life(Case):
    def test_a_closed_captioner_says_so(self):
        with lorapress.Captioner(folder(), threads=1) as captioner:
            self.assertEqual(set(captioner.dtypes), {"encoder", "prefill", "decoder"})
            self.assertTrue(captioner.engine.name)
            self.assertEqual(captioner.image_size, (32, 32))
        captioner.close()
        with self.assertRaisesRegex(lorapress.LorapressError, "closed"):
            captioner(IMAGES)
        with self.assertRaisesRegex(lorapress.LorapressError, "closed"):
            copy.copy(captioner)

    def test_a_copy_opens_the_folder_anew(self):
        with lorapress.Captioner(os.path.relpath(folder()), threads=1) as captioner:
            text = captioner(IMAGES[0])
            for again in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
                with again(captioner) as other:
                    self.assertEqual(other.dtypes, captioner.dtypes)
                    self.assertEqual(other(IMAGES[0]), text)
                self.assertEqual(captioner(IMAGES[0]), text)
            data = pickle.dumps(captioner)
        self.addCleanup(os.chdir, Path.cwd())
        os.chdir(self.tmp)
        with pickle.loads(data) as other:
            self.assertEqual(other(IMAGES[0]), text)

    def test_after_a_fork_the_child_opens_its_own(self):
        """Another interpreter, since this one has threads: what a child that hangs would leave."""
        code = """if True:
            import os, sys
            import lorapress
            folder, image = sys.argv[1:]
            captioner = lorapress.Captioner(folder, threads=2)
            expected = captioner(image)
            child = os.fork()
            if child == 0:
                try:
                    captioner(image)
                except lorapress.LorapressError as error:
                    print(error, flush=True)
                own = lorapress.Captioner(folder, threads=2)
                captioner = None
                print(own(image) == expected, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print(captioner(image) == expected)
        """
        command = [sys.executable, "-c", code, folder(), IMAGES[0]]
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
            try:
                said, _ = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                raise
        error, *same = said.decode().splitlines()
        self.assertIn("a fork takes no threads along", error)
        self.assertEqual(same, ["True", "True"])

    def test_errors_of_opening(self):
        for options, code in (
            ({"dtype": "q4"}, "invalid_argument"),
            ({"engine": "none"}, "invalid_argument"),
        ):
            with self.assertRaises(lorapress.LorapressError) as caught:
                lorapress.Captioner(folder(), **options)
            self.assertIn(caught.exception.code, (code, "not_found", "unsupported"))
        with self.assertRaises(lorapress.LorapressError) as caught:
            lorapress.Captioner(self.tmp / "nowhere")
        self.assertEqual(caught.exception.code, "not_found")
        for none in (None, 3, f"{folder()}\0x", "\ud800"):
            with self.assertRaises(lorapress.LorapressError) as caught:
                lorapress.Captioner(none)
            self.assertEqual(caught.exception.code, "invalid_argument")
            self.assertIn(f"{none!r} is no path", str(caught.exception))

    def test_threads(self):
        """Two captioners at once, and one from two threads; meanwhile the interpreter is free."""
        expected = programs_captions()
        captioners = [lorapress.Captioner(folder(), threads=1) for _ in range(2)]
        texts = {}

        def work(name, captioner):
            texts[name] = [captioner(ALL, batch_size=2) for _ in range(3)]

        threads = [threading.Thread(target=work, args=(i, captioners[i % 2])) for i in range(4)]
        for thread in threads:
            thread.start()
        ticks = 0
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.001)
            ticks += 1
        self.assertGreater(ticks, 5)
        self.assertEqual(texts, {i: [expected] * 3 for i in range(4)})
        for captioner in captioners:
            captioner.close()

    def test_nothing_leaks(self):
        small = np.zeros((4, 4, 3), np.uint8)
        broken = b"none" * 100_000

        def rounds(count):
            for _ in range(count):
                with lorapress.Captioner(folder(), threads=1) as captioner:
                    for _ in range(8):
                        list(captioner.each([small, broken, IMAGES[0]], max_new_tokens=2))
                for wrong in ({"dtype": "x" * 10_000}, {"engine": "y"}):
                    with self.assertRaises(lorapress.LorapressError):
                        lorapress.Captioner(folder(), **wrong)
                lorapress.inspect(folder())

        rounds(6)
        before = resident_bytes()
        rounds(20)
        grown = resident_bytes() - before
        self.assertLess(grown, 3 << 20, "bytes in 20 rounds")


if __name__ == "__main__":
    unittest.main()
