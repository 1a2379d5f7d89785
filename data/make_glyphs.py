"""Makes glyphs.npz: capital letters drawn from the fonts that matplotlib carries.

What notMNIST is, in small: white letters on black, 28x28, stretched to fill most of the frame.
A to J are the test set; K to Z are for training and validation, whose fonts are different ones.
Run ``python data/make_glyphs.py`` to write the file again.
"""

import random
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Font file -> the code points at which a capital alphabet starts. The two further ones of STIX are
# mathematical alphabets: sans serif and, in bold, script and Fraktur.
DEJAVU_AND_STIX = {
    "DejaVuSans.ttf": ["A"],
    "DejaVuSans-Bold.ttf": ["A"],
    "DejaVuSans-Oblique.ttf": ["A"],
    "DejaVuSans-BoldOblique.ttf": ["A"],
    "DejaVuSansMono.ttf": ["A"],
    "DejaVuSansMono-Bold.ttf": ["A"],
    "DejaVuSansMono-Oblique.ttf": ["A"],
    "DejaVuSansMono-BoldOblique.ttf": ["A"],
    "DejaVuSerif.ttf": ["A"],
    "DejaVuSerif-Bold.ttf": ["A"],
    "DejaVuSerif-Italic.ttf": ["A"],
    "DejaVuSerif-BoldItalic.ttf": ["A"],
    "STIXGeneral.ttf": ["A", "\U0001d5a0"],
    "STIXGeneralBol.ttf": ["A", "\U0001d56c"],
    "STIXGeneralItalic.ttf": ["A"],
    "STIXGeneralBolIta.ttf": ["A", "\U0001d4d0"],
}
COMPUTER_MODERN = {f"cm{cut}10.ttf": ["A"] for cut in ("r", "b", "ss", "tt", "ti", "sy")}

# Split -> (letters, fonts).
SPLITS = {
    "train": ("KLMNOPQRSTUVWXYZ", DEJAVU_AND_STIX),
    "validation": ("KLMNOPQRSTUVWXYZ", COMPUTER_MODERN),
    "test": ("ABCDEFGHIJ", DEJAVU_AND_STIX | COMPUTER_MODERN),
}
PLACEMENTS = 4  # images of each letter in each font


def draw(letter, font, rng):
    """One letter as a (28, 28) uint8 image: turned a little, stretched, placed in the frame."""
    large = Image.new("L", (200, 200))
    ImageDraw.Draw(large).text((100, 100), letter, fill=255, font=font, anchor="mm")
    large = large.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC)
    large = large.crop(large.getbbox())
    height = round(rng.uniform(22, 28))
    natural_width = height * large.width / large.height
    width = round(min(rng.uniform(22, 28), 2 * natural_width))  # an I stays an I
    image = Image.new("L", (28, 28))
    corner = (round(rng.uniform(0, 28 - width)), round(rng.uniform(0, 28 - height)))
    image.paste(large.resize((width, height), Image.Resampling.BICUBIC), corner)
    return np.asarray(image)


def make():
    """The arrays of glyphs.npz: ``x_<split>`` (N, 28, 28) and ``y_<split>`` (N,), all uint8."""
    ttf = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    arrays = {}
    for split, (letters, fonts) in SPLITS.items():
        rng = random.Random(0)
        x, y = [], []
        for file, alphabets in fonts.items():
            font = ImageFont.truetype(ttf / file, size=80)
            for start in alphabets:
                for label, letter in enumerate(letters):
                    character = chr(ord(start) + ord(letter) - ord("A"))
                    x += [draw(character, font, rng) for _ in range(PLACEMENTS)]
                    y += [label] * PLACEMENTS
        mixed = sorted(range(len(x)), key=lambda _: rng.random())  # so that any part is a fair one
        arrays[f"x_{split}"] = np.stack([x[i] for i in mixed])
        arrays[f"y_{split}"] = np.array([y[i] for i in mixed], dtype=np.uint8)
    return arrays


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).with_name("glyphs.npz"), **make())
