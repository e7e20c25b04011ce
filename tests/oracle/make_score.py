"""Makes tests/goldens/score: captions, their words, their stems and their metrics by pycocoevalcap.

Needs score_requirements.txt in an environment of its own, and `java`: pycocoevalcap's tokenizer
(Stanford CoreNLP 3.4.1) and METEOR (1.5) are Java programs. METEOR runs with its modules "exact"
and "stem" alone; everything else is called as pycocoevalcap calls it.
Usage: make_score.py [--out tests/goldens/score]
"""

# ruff: noqa: RUF001 (quotes and dashes of captions)
from __future__ import annotations

import argparse
import json
import random
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pycocoevalcap
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import METEOR_JAR
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"
METEOR_DIR = Path(pycocoevalcap.__path__[0]) / "meteor"

# What the tokenizer does that splitting at blanks would not.
ODD = [
    "A man's T-shirt isn't grey; he can't colour the theatre (in the centre).",
    "The dogs' owners won't say \"hello\", they'd've gone. "
    "It's cannot gonna gimme wanna lemme gotta 'tis 'twas here",
    "and/or 1/2 3 1/2 $5.00 5% #1 @home :-) :) ;) http://www.a.com/x.html a@b.com #tag",
    "In the U.S. he met Mr. Smith at 5 p.m. on Jan. 5th, etc.",
    "two-tiered black-and-white cake -- nice... wow!!! really?! no.. yes…",
    "2 x 4 10:30 1,000 2.5 1950's '90s 80s o'clock rock 'n' roll ma'am y'all",
    "café naïve “quoted” ‘single’ it’s don’t — en–dash • ½ € £5 ¢ °",
    "AT&T R&B B&B &amp; &lt; & < > [a] {b} a_b a+b a=b * ~ ^ | a/b/c",
    "no.1 No. 5 St. Louis Dr. Who vs. me Inc. U.K.'s Ph.D. e.g. i.e. a.m. A. B. Smith",
    "d'ye more'n dunno whatcha whadya somethin' ol' man goin' home",
    "<html> <b>x</b> ABC-123 x-ray mid-1990s pre-K 4-year-old 20-30 555-1234 (555) 123-4567 end",
    "a dog., b cat.; c Mr., b J.K.; a A.B.:D",
    "Over Ill. and ill. with Mass. and mass. Sat. Sun. Mon. Tues. Wash. D.C.",
    "fig. 5 Fig.5 vol. 5 Nos. 5 ca. 1950 pp. 7 figs. 3",
    "crème-brûlée jalapeño-pepper Ångström ÉCOLE Übergröße ЖУК ΑΒΓ",
    "the 'quoted' word, 'new' and 'n' and ''double'' and ``single''",
    "a --- b ---- c ----- d - e -- f",
    "a. The end. b. this end. The dog y. So it goes",
    "C++ and c# and F# and .5 and +3 and -4 and 3.5-inch and step-3.7-flash",
    "file.txt page.html www.foo.com foo.org foo.com/bar, user_name some_long_name",
    "éa café a\xa0b a\u200bb soft\xadhyphen 😀 smile",
    "!? ... ?! !!! ::: ;;; ,,, '' `` `' -LRB- -RRB-",
    '5\'6" man 6" 5\' tall 12" pizza 20°C 20° 1st 2nd 3rd',
    "Yahoo! E! OK! Jeopardy! Wow! no! yes.",
    "don'tthe it'sred I'm'a x's's it'll'd she's'nt",
    "AT&T's M&M's S&P-500 Q&A Macy's McDonald's Wendy's Levi's James's boss's",
]

PEOPLE = [
    "man",
    "woman",
    "boy",
    "girl",
    "child",
    "skier",
    "surfer",
    "chef",
    "player",
    "group",
    "of",
    "people",
    "couple",
    "baby",
    "dog",
    "cat",
    "bird",
    "horse",
]
THINGS = [
    "ball",
    "frisbee",
    "surfboard",
    "t-shirt",
    "teddy",
    "bear",
    "umbrella",
    "hot",
    "dog",
    "cake",
    "pizza",
    "bike",
    "motorcycle",
    "laptop",
    "x-ray",
    "man's",
    "hat",
    "black-and-white",
    "photo",
    "cell",
    "phone",
    "bus",
    "train",
    "bench",
    "kite",
]
ACTS = [
    "is riding rides rode",
    "is standing on",
    "stands by",
    "standing near",
    "holding",
    "holds",
    "is jumping over",
    "jumped",
    "is eating",
    "eats",
    "looking at",
    "looks at the",
    "plays with",
    "is playing with",
    "isn't wearing",
    "wears",
    "running with",
]
PLACES = [
    "on the beach",
    "in a field.",
    "near the water,",
    "on a city street",
    "at night",
    "in the snow!",
    "by the window",
    "in front of a building",
    "at 5 p.m.",
    "on top of St. Mary's church",
    "in the U.S.",
    "under 2 clocks",
]

ROOTS = """
run hop happ cr dog hors troubl fall agre sky ski gener commun arsen succeed proceed
canning inning news howe bias atlas only early gently dying lying tying singly skies us
ss sses bed bl siz fil hiss plaster conflat relat condition rational valenci hesitanci
digitiz conformabli radicalli differentli vileli analogousli vietnamiz predic operat
feudalism decisive hopeful callous formaliti sensitiviti sensibiliti triplic format
formaliz electric electrical good reviv allow infer airlin gyroscop adjust defens irrit
replac adopt homolog angular effect bowdler probat rat ceas control roll a e i yes boy
say by dry y yy gas kiwis gap this cost
"""
ENDINGS = (
    "|s|es|ed|ing|ingly|edly|ness|ful|fulness|ization|ational|ly|er|able|ment|ement|ion|y|ies|"
    "ied|'s|ous|ive"
)


def sentence(rng: random.Random) -> str:
    """Return a caption of a few words."""
    number = rng.choice(["A", "a", "Two", "The", "an old", "Several", "2"])
    parts = [number, rng.choice(PEOPLE), rng.choice(ACTS), rng.choice(["a", "the", "some", "his"])]
    parts += [rng.choice(THINGS), rng.choice(PLACES)]
    return " ".join(parts[: rng.randint(5, 6)]) + rng.choice([".", "", " .", "!"])


def spoiled(rng: random.Random, text: str) -> str:
    """Return the words in another order, some missing, some twice, some with another ending."""
    words = text.split()
    made: list[str] = []
    for word in words:
        kind = rng.random()
        if kind < 0.1:
            continue
        made.append(word)
        if kind > 0.93:
            made.append(word)
        elif kind > 0.85:
            made[-1] = word + "s"
        elif kind > 0.8:
            made[-1] = word + "ing"
    if rng.random() < 0.3:
        cut = rng.randint(0, len(made))
        made = made[cut:] + made[:cut]
    return " ".join(made)


def image_set(seed: int, images: int) -> list[dict[str, Any]]:
    """Return captions with one to five references each."""
    rng = random.Random(seed)
    made = []
    for number in range(images):
        references = [sentence(rng) for _ in range(rng.randint(1, 5))]
        if rng.random() < 0.4:
            references.append(spoiled(rng, references[0]))
        kind = rng.random()
        caption = references[0] if kind < 0.15 else spoiled(rng, rng.choice(references))
        if kind > 0.9:
            caption = sentence(rng)
        made.append({"image": f"{number:03}.png", "caption": caption, "references": references})
    return made


def long_set() -> list[dict[str, Any]]:
    """Return captions that repeat themselves, where METEOR's beam has to choose."""
    rng = random.Random(5)
    words = ["the", "a", "man", "dog", "with", "running", "runs", "run", "and", "on", "beach", "of"]
    return [
        {
            "image": f"{number}.png",
            "caption": " ".join(rng.choice(words) for _ in range(rng.randint(1, 40))),
            "references": [
                " ".join(rng.choice(words) for _ in range(rng.randint(1, 40))) for _ in range(3)
            ],
        }
        for number in range(30)
    ]


def odd_set() -> list[dict[str, Any]]:
    """Return the odd lines against each other, and empty captions."""
    made = [
        {
            "image": f"{i}.png",
            "caption": line,
            "references": [ODD[(i + 1) % len(ODD)], spoiled(random.Random(i), line)],
        }
        for i, line in enumerate(ODD)
    ]
    made.append({"image": "empty.png", "caption": "", "references": ["a dog"]})
    made.append(
        {"image": "points.png", "caption": " . ", "references": ["a cat", "a red cat on a mat"]}
    )
    made.append({"image": "last.png", "caption": "a dog .", "references": ["a dog ."]})
    return made


class MeteorExactStem:
    """pycocoevalcap's wrapper around the jar, with two of the four modules."""

    def __init__(self) -> None:
        command = ["java", "-jar", "-Xmx2G", METEOR_JAR, "-", "-", "-stdio", "-l", "en", "-norm"]
        self.process = subprocess.Popen(
            [*command, "-m", "exact stem", "-w", "1.0 0.6"],
            cwd=METEOR_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def ask(self, line: str, answers: int) -> list[str]:
        """Write a line and return as many lines."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return [self.process.stdout.readline().strip() for _ in range(answers)]

    def compute_score(
        self, gts: dict[str, list[str]], res: dict[str, list[str]]
    ) -> tuple[float, list[float]]:
        """Return what Meteor.compute_score returns."""
        stats = []
        for key in res:
            caption = res[key][0].replace("|||", "").replace("  ", " ")
            stats += self.ask(" ||| ".join(("SCORE", " ||| ".join(gts[key]), caption)), 1)
        values = self.ask("EVAL ||| " + " ||| ".join(stats), len(res) + 1)
        return float(values[-1]), [float(value) for value in values[:-1]]


def measured(name: str, images: list[dict[str, Any]], meteor: MeteorExactStem) -> dict[str, Any]:
    """Return the images with all metrics."""
    tokenizer = PTBTokenizer()
    gts = tokenizer.tokenize(
        {i["image"]: [{"caption": c} for c in i["references"]] for i in images}
    )
    res = tokenizer.tokenize({i["image"]: [{"caption": i["caption"]}] for i in images})
    bleu, bleus = Bleu(4).compute_score(gts, res, verbose=0)
    cider, ciders = Cider().compute_score(gts, res)
    rouge, rouges = Rouge().compute_score(gts, res)
    meteor_all, meteors = meteor.compute_score(gts, res)
    for i, image in enumerate(images):
        image["metrics"] = {
            "bleu": [float(values[i]) for values in bleus],
            "cider": float(ciders[i]),
            "rouge_l": float(rouges[i]),
            "meteor": meteors[i],
            "words": len(res[image["image"]][0].split()),
        }
    return {
        "name": name,
        "metrics": {
            "bleu": [float(value) for value in bleu],
            "cider": float(cider),
            "rouge_l": float(rouge),
            "meteor": meteor_all,
        },
        "images": images,
    }


def tokens() -> list[dict[str, Any]]:
    """Return lines and the tokenizer's words."""
    rng = random.Random(3)
    lines = ODD + [sentence(rng) for _ in range(60)]
    words = " ".join(ODD).split()
    for _ in range(400):
        glue = [
            rng.choice(words) + rng.choice([" ", " ", " ", ", ", " - ", "! "])
            for _ in range(rng.randint(3, 9))
        ]
        lines.append("".join(glue).strip() + " end")
    made = PTBTokenizer().tokenize(
        {str(i): [{"caption": line}] for i, line in enumerate([*lines, "end ."])}
    )
    return [{"text": line, "tokens": made[str(i)][0]} for i, line in enumerate(lines)]


def stems() -> dict[str, str]:
    """Return words and what METEOR's stemmer makes of them."""
    endings = ENDINGS.split("|")
    roots = ROOTS.split()
    words = sorted({root + ending for root in roots for ending in endings})
    answer = subprocess.run(
        ["java", "-cp", METEOR_JAR, "Stemmer", "en"],
        cwd=METEOR_DIR,
        input="\n".join(words) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(words, answer.stdout.splitlines(), strict=True))


def main() -> None:
    """Write the goldens."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "score")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    meteor = MeteorExactStem()
    sets = [
        measured("small", image_set(1, 12), meteor),
        measured("many", image_set(2, 60), meteor),
        measured("long", long_set(), meteor),
        measured("odd", odd_set(), meteor),
        measured("one", image_set(7, 1), meteor),
    ]
    versions = {name: version(name) for name in ("pycocoevalcap", "numpy")}
    contents = {
        "metrics.json": {"format": 1, "versions": versions, "sets": sets},
        "tokens.json": {"format": 1, "versions": versions, "lines": tokens()},
        "stems.json": {"format": 1, "versions": versions, "stems": stems()},
    }
    for name, content in contents.items():
        text = json.dumps(content, ensure_ascii=False, indent=0)
        (arguments.out / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
