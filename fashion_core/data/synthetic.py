"""Synthetic garments: the ten Fashion-MNIST classes drawn by rule, for a machine without a network.

The same seed gives the same bytes on every machine: ``drawing`` says how, and its rule holds here too.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fashion_core.config import SIDE
from fashion_core.data.drawing import Field, Sheet, blend, box, curve, fabric, inside, line, sew, strip, wave, within

TEST_IMAGES = 2_000
CHUNK = 100  # images drawn at once: small enough for the processor's cache
TOP = -12.0  # where a garment's shoulders are, in its frame
FLOOR = 7.0  # where a shoe stands

Images = NDArray[np.uint8]
Range = tuple[float, float]


def print_chest(sheet: Sheet, cloth: Field, probability: float) -> Field:
    """Cloth with, sometimes, a picture on the chest."""
    place = box(sheet.u - sheet.pick(-1, 1), sheet.v - sheet.pick(-5, 0), sheet.pick(1, 4.5), sheet.pick(0.8, 3.5), 0.5)
    return blend(cloth, sheet.cloud(14), inside(place) * sheet.chance(probability) * sheet.pick(0.4, 0.9))


def open_front(sheet: Sheet, cloth: Field, buttoned: float) -> Field:
    """Cloth with a dark edge down the middle and, sometimes, buttons beside it."""
    middle = sheet.u - sheet.pick(-0.7, 0.7)
    edge = sew(cloth, sheet.pick(0.2, 0.7), line(middle, 0.1))
    row = np.clip(wave(sheet.v / sheet.pick(3, 5)) * 2 - 0.4, 0, 1)
    return blend(edge, sheet.pick(0, 1), line(middle - 1, 0.1) * row * sheet.chance(buttoned))


def torso(sheet: Sheet, hem: Field, width: Field, waist: Range, skirt: Range, neck: Range) -> Field:
    """The distance into a body; waist and skirt: how much wider than the shoulders; neck: how deep."""
    middle = (TOP + hem) / 2, width + sheet.pick(*waist)
    half = curve(sheet.v, (TOP + 5, width), middle, (hem, width + sheet.pick(*skirt)))
    pointed, opening = sheet.pick(0, 1), sheet.pick(2.2, 3.8)
    aside = sheet.across / opening
    neckline = sheet.pick(*neck) * np.maximum(1 - aside * (pointed + (1 - pointed) * aside), 0)
    top = TOP + 0.3 * np.maximum(sheet.across - opening, 0) + neckline
    tails = sheet.pick(-0.5, 1) * (1 - sheet.across / 8)
    return within(half - sheet.across, sheet.v - top, hem + tails - sheet.v)


def arms(sheet: Sheet, hem: Field, width: Field, reach: Field) -> Field:
    """The distance into the sleeves, which reach down this share of the body."""
    length = reach * (hem - TOP) - 2
    hand = (width + sheet.pick(0.5, 3) + 2 * (1 - reach), TOP + 3 + length)
    from_elbow = (sheet.v - TOP - 3) / length * 2 - 1
    bend = sheet.pick(0.3, 1.5) * reach * np.maximum(1 - from_elbow * from_elbow, 0)
    thick = sheet.pick(1.8, 2.7)
    return strip(sheet.across - bend, sheet.v, (width - 1.4, TOP + 3), hand, thick, thick - 0.7)


def wear(sheet: Sheet, cloth: Field, body: Field, arm: Field, sleeved: float = 1) -> Field:
    """The sleeves, and the body over them with a seam between."""
    arm_shown = sheet.chance(sleeved)
    behind = cloth * sheet.pick(0.75, 1) * inside(arm) * arm_shown
    seam = np.clip(1.5 - body, 0, 1) * inside(arm + 1) * arm_shown
    return blend(behind, sew(cloth, sheet.pick(0.2, 0.6), seam), inside(body))


def t_shirt(sheet: Sheet) -> Field:
    hem, width = sheet.pick(9.5, 13), sheet.pick(6, 8)
    body = torso(sheet, hem, width, waist=(-1, 0.3), skirt=(-1, 0.8), neck=(0.5, 4))
    arm = arms(sheet, hem, width, sheet.pick(0.24, 0.44))
    return wear(sheet, print_chest(sheet, fabric(sheet), 0.45), body, arm, sleeved=0.93)


def pullover(sheet: Sheet) -> Field:
    hem, width = sheet.pick(9, 12.5), sheet.pick(6.4, 8.5)
    body = torso(sheet, hem, width, waist=(-1.5, 0), skirt=(-1.5, 0.3), neck=(0.3, 3))
    arm = arms(sheet, hem, width, sheet.pick(0.8, 1))
    ribs = inside(sheet.v - hem + sheet.pick(1.5, 3)) * sheet.chance(0.7)
    return wear(sheet, sew(print_chest(sheet, fabric(sheet), 0.35), sheet.pick(0.1, 0.35), ribs), body, arm)


def coat(sheet: Sheet) -> Field:
    hem, width = sheet.pick(10, 13.5), sheet.pick(6.4, 8.7)
    body = torso(sheet, hem, width, waist=(-1.6, 0), skirt=(-1, 1), neck=(0.3, 3))
    arm = arms(sheet, hem, width, sheet.pick(0.74, 0.95))
    lapels = line(sheet.across + sheet.v * 0.35 + 1, 0.4) * inside(-3 - sheet.v) * sheet.chance(0.7)
    pockets = line(sheet.v - sheet.pick(3, 6), 0.2) * line(sheet.across - 4, 2) * sheet.chance(0.7)
    belt = line(sheet.v - sheet.pick(-1, 3), 0.7) * sheet.chance(0.2)
    cloth = open_front(sheet, sew(fabric(sheet), sheet.pick(0.3, 0.6), lapels, pockets, belt), buttoned=0.4)
    lining = inside(sheet.pick(1, 2.2) + (sheet.v + 10) * sheet.pick(0, 0.1) - sheet.across) * sheet.chance(0.45)
    return wear(sheet, blend(cloth, sheet.pick(0.1, 1), lining), body, arm)


def shirt(sheet: Sheet) -> Field:
    hem, width = sheet.pick(9, 13), sheet.pick(5.8, 7.6)
    body = torso(sheet, hem, width, waist=(-1.3, 0), skirt=(-0.8, 0.8), neck=(0.3, 3))
    arm = arms(sheet, hem, width, blend(sheet.pick(0.24, 0.5), sheet.pick(0.74, 0.95), sheet.chance(0.65)))
    fold, side = sheet.v + sheet.across - TOP - sheet.pick(4.5, 6.5), 3.6 - sheet.across
    collar = blend(fabric(sheet), sheet.pick(0.1, 1), inside(-fold, side) * sheet.chance(0.5))
    cloth = sew(collar, sheet.pick(0.25, 0.6), line(fold, 0.35) * inside(side))
    return wear(sheet, open_front(sheet, cloth, buttoned=0.8), body, arm, sleeved=0.95)


def dress(sheet: Sheet) -> Field:
    hem, width = sheet.pick(12, 13.5), sheet.pick(3.4, 5.5)
    body = torso(sheet, hem, width, waist=(-1.3, 0), skirt=(0, 4), neck=(0.5, 5))
    arm = arms(sheet, hem, width, blend(sheet.pick(0.12, 0.3), sheet.pick(0.4, 0.65), sheet.chance(0.4)))
    waistband = line(sheet.v - sheet.pick(-3, 1), 0.3) * sheet.chance(0.4)
    pleats = inside(wave(sheet.across / sheet.pick(2, 4)) - 0.5, sheet.v - 1) * sheet.chance(0.4)
    return wear(sheet, sew(fabric(sheet), sheet.pick(0.2, 0.5), waistband, pleats), body, arm, sleeved=0.5)


def trouser(sheet: Sheet) -> Field:
    waist, ankle, crotch = sheet.pick(3.8, 5.2), sheet.pick(3.5, 6.2), sheet.pick(-7, -2.5)
    outline = curve(sheet.v, (-13, waist), (-7, waist + sheet.pick(0, 1.2)), (13, ankle))
    gap = curve(sheet.v, (crotch, 0), (13, ankle - sheet.pick(1.5, 3.2)))
    legs = np.maximum(sheet.across - gap, crotch - sheet.v)
    seams = np.maximum(line(sheet.v + 11.3, 0.2), line(sheet.u, 0.1) * inside(-4 - sheet.v))
    crease = line(sheet.across - (gap + outline) / 2, 0.5) * sheet.chance(0.4) * 0.5
    cloth = sew(fabric(sheet), sheet.pick(0.2, 0.5), seams, crease)
    return cloth * inside(outline - sheet.across, legs, sheet.v + 13, sheet.pick(11.5, 13.5) - sheet.v)


def underside(sheet: Sheet, heel: Field) -> Field:
    """Where the underside of a shoe runs: its toe, to the left, turned up a little and its heel lifted."""
    return FLOOR - curve(sheet.u, (-12.5, sheet.pick(0.3, 1.2)), (-8, 0)) - curve(sheet.u, (-3, 0), (7, heel))


def shoe(sheet: Sheet, under: Field, sole: Field, heel: Field, upper: Field, cloth: Field) -> Field:
    """An upper of this cloth on a sole of this thickness and a heel of this height."""
    seam, ends, half = sheet.v - under + sole, within(sheet.u + 12.5, 12 - sheet.u), sheet.pick(0.6, 1.5)
    block = inside(sheet.v - under + 0.5, FLOOR - sheet.v, half - np.abs(sheet.u - 12 + half)) * (heel > 0.8)
    tread = np.maximum(inside(seam, under - sheet.v, ends + 0.3), block)
    shade = blend(sheet.pick(0.15, 0.5), sheet.pick(0.5, 1), sheet.chance(0.5))
    return np.maximum(cloth * inside(upper, -seam, ends), shade * tread)


def sneaker(sheet: Sheet) -> Field:
    heel, sole, throat = sheet.pick(0, 0.6), sheet.pick(1.2, 2.6), sheet.pick(0, 3)
    ankle = sheet.pick(-5.5, -1.5) - sheet.pick(0, 5) * sheet.chance(0.4)
    instep = curve(sheet.u, (-13, 5.5), (-11, 2.6), (-6, 1.5), (throat, ankle + 0.6))
    top = instep + curve(sheet.u, (throat, 0), (throat + 4, sheet.pick(0.8, 2.2)), (11.5, -1.2))
    laces = inside(wave(sheet.u / 2) - 0.5) * line(sheet.v - top - 1.3, 0.8) * line(sheet.u - throat + 3, 3.5)
    slant = sheet.u - sheet.pick(1, 5) + (sheet.v - 2) * sheet.pick(-1.2, 1.2)
    stripes = np.maximum(line(slant, 0.6), line(slant - 2.6, 0.4)) * sheet.chance(0.5)
    toe_cap = inside(sheet.v / 2 - sheet.u - 9) * sheet.chance(0.4)
    cloth = sew(fabric(sheet, 0.2), sheet.pick(-0.6, 0.7), laces * sheet.chance(0.8), stripes, toe_cap)
    return shoe(sheet, underside(sheet, heel), sole, heel, sheet.v - top, np.minimum(cloth, 1))


def ankle_boot(sheet: Sheet) -> Field:
    heel, sole, throat, height = sheet.pick(-1.5, 5), sheet.pick(0.6, 2), sheet.pick(-1, 3), sheet.pick(-12, -3)
    top = curve(sheet.u, (-13, 5), (-11, 2.4), (-6, 1.2), (throat, height), (12, height + sheet.pick(-1, 1)))
    back = 12 - curve(sheet.v, (height + 1, sheet.pick(0, 2)), (2, 1.5), (6, 0))
    gusset = inside(sheet.pick(1, 2) - np.abs(sheet.u - throat - 3.5), 1 - sheet.v) * sheet.chance(0.7)
    laces = inside(wave(sheet.v / 2) - 0.5, 2 - sheet.v) * line(sheet.u - throat, 1.2)
    cloth = sew(fabric(sheet, 0.2), sheet.pick(0.2, 0.6), blend(laces, gusset, sheet.chance(0.5)))
    return shoe(sheet, underside(sheet, heel), sole, heel, within(sheet.v - top, back - sheet.u), cloth)


def sandal(sheet: Sheet) -> Field:
    heel, sole = np.maximum(sheet.pick(-7, 8), 0), sheet.pick(0.8, 1.8)
    under, period, slant = underside(sheet, heel), sheet.pick(3, 6), sheet.v * sheet.pick(0.3, 1.2)
    instep = curve(sheet.u, (-11, 0.5), (-7, sheet.pick(2, 4)), (0, sheet.pick(2.5, 6)), (9, sheet.pick(2, 7)))
    depth = sheet.v - under + sole + instep
    weave = np.maximum(wave((sheet.u + slant) / period), wave((sheet.u - slant) / period + 0.3))
    straps = np.maximum(np.clip((weave - sheet.pick(-1, 0.6)) * 3, 0, 1), line(depth - 0.6, 0.4))
    covered = within(depth, sheet.u + sheet.pick(8, 11), sheet.pick(1, 13) - sheet.u)
    ankle = (10.5, FLOOR - heel - sheet.pick(6, 9))
    loop = strip(sheet.u, sheet.v, (sheet.pick(2, 5), ankle[1] + 1), ankle, 0.5, 0.7)
    back = strip(sheet.u, sheet.v, ankle, (10.8, FLOOR - heel), 0.5, 0.9)
    strap = inside(np.maximum(loop, back)) * sheet.chance(0.5) * sheet.pick(0.4, 1)
    return np.maximum(shoe(sheet, under, sole, heel, covered, fabric(sheet, 0.2) * straps), strap)


def bag(sheet: Sheet) -> Field:
    width, height, down = sheet.pick(7.5, 12.5), sheet.pick(4.5, 8.5), sheet.v - sheet.pick(2, 4)
    body = box(sheet.u / (1 + down * sheet.pick(-0.01, 0.03)), down, width, height, sheet.pick(0.5, 4))
    span, rise = width * sheet.pick(0.3, 0.85), sheet.pick(3, 9)
    right, up = sheet.u / span, (down + height) / rise
    ring = (np.sqrt(right * right + up * up) - 1) * np.minimum(span, rise)
    handle = line(ring, 0.4) * inside(-up) * sheet.pick(0.3, 1) * sheet.chance(0.8)
    flap = line(down + sheet.pick(-2, 3), 0.3) * sheet.chance(0.6)
    seams = line(sheet.across - width * sheet.pick(0.4, 0.8), 0.2) * sheet.chance(0.4)
    cloth = sew(fabric(sheet), sheet.pick(0.2, 0.6), flap, seams)
    clasp = inside(box(sheet.u, down, sheet.pick(0.6, 1.6), 1, 0.3)) * sheet.chance(0.5)
    return blend(handle, blend(cloth, sheet.pick(0, 1), clasp), inside(body))


DRAWINGS: tuple[tuple[Callable[[Sheet], Field], float], ...] = (  # by label; how far up or down it may lie
    (t_shirt, 1.4), (trouser, 1.4), (pullover, 1.4), (dress, 1.4), (coat, 1.4),
    (sandal, 4), (shirt, 1.4), (sneaker, 4), (bag, 2.5), (ankle_boot, 2.5),
)  # fmt: skip


def draw(labels: NDArray[np.integer], seed: int) -> Images:
    """Draw images (N, 28, 28) uint8, one for each of N labels 0 to 9. The same labels and seed give the same bytes."""
    images = np.zeros((len(labels), SIDE, SIDE), np.uint8)
    for label, (drawing, drift) in enumerate(DRAWINGS):
        rng = np.random.Generator(np.random.PCG64([seed, label]))
        places = np.flatnonzero(labels == label)
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            sheet = Sheet(len(chunk), rng, drift)
            picture = drawing(sheet)
            grain = 1 + (rng.random(picture.shape) - 0.5) * sheet.pick(0.02, 0.16)  # of all but black
            images[chunk] = np.floor(np.clip(picture * grain, 0, 1) * 255 + 0.5).astype(np.uint8)
    return images


def balanced(count: int, seed: int) -> tuple[Images, NDArray[np.uint8]]:
    """Draw ``count`` images and their labels, as many of each class, in shuffled order."""
    order = np.argsort(np.random.Generator(np.random.PCG64(seed)).random(count), kind="stable")
    labels = (order % len(DRAWINGS)).astype(np.uint8)
    return draw(labels, seed), labels
