"""The drawing: valid, the same bytes every time, nothing overlaps, everything can be read."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphvlm.drawing import KINDS, Box, Picture, Wire, draw
from graphvlm.drawing.layout import LABEL_SIZE, Curve, Layout, PlacedBox, layout
from graphvlm.drawing.style import DARK, LIGHT
from graphvlm.drawing.text import width

SVG = "{http://www.w3.org/2000/svg}"
BOLD = ("name", "title", "count")


def llava() -> Picture:
    boxes = (
        Box("pixel_values", "input", "pixel_values", ("image",)),
        Box("input_ids", "input", "input_ids", ("tokens",)),
        Box(
            "vision", "encoder", "vision", ("vit · 23 layers · 1024 wide · 16 heads",), 290_000_000, True, ("stage 0",)
        ),
        Box("projector", "projector", "projector", ("mlp · 2 layers · gelu",), 20_979_712),
        Box("text", "encoder", "text", ("token embedding · 32064 \u00d7 4096",), 131_334_144),
        Box("fused", "fusion", "fused", ("scatter · image 32000",)),
        Box("llm", "decoder", "llm", ("transformer · 32 layers",), 6_607_605_760, False, ("tp 2", "fsdp block")),
        Box("logits", "output", "logits"),
    )
    wires = (
        Wire("pixel_values", "vision", "[images, 3, 336, 336]", "image"),
        Wire("vision", "projector", "[images, 576, 1024]"),
        Wire("projector", "fused", "[images, 576, 4096]", "image"),
        Wire("input_ids", "text", "[batch, seq]"),
        Wire("text", "fused", "[batch, seq, 4096]", "text"),
        Wire("input_ids", "fused", "[batch, seq]", "ids"),
        Wire("fused", "llm", "[batch, seq, 4096]"),
        Wire("llm", "logits", "[batch, seq, 32064]"),
    )
    return Picture("llava_1_5_7b", "CLIP ViT-L/14-336, two-layer MLP, Vicuna-7B", boxes, wires)


def chain(length: int) -> Picture:
    boxes = tuple(Box(f"b{i}", KINDS[i % 7], f"block_{i}", ("linear",), i, i % 3 == 0) for i in range(length))
    return Picture("chain", boxes=boxes, wires=tuple(Wire(a.id, b.id, "[batch, 8]") for a, b in pairwise(boxes)))


def random_dag(count: int, wires: int, reach: int, seed: int = 0) -> Picture:
    generator = random.Random(seed)
    boxes = tuple(
        Box(f"b{i}", KINDS[i % 7], f"node_{i}", ("mlp · 2 layers",), i * 1000, i % 4 == 0) for i in range(count)
    )
    ends = sorted({(max(0, j - generator.randint(1, reach)), j) for j in generator.choices(range(1, count), k=wires)})
    named = (Wire(f"b{i}", f"b{j}", f"[{i}, 8]", f"p{(i + j) % 3}", f"o{j % 2}") for i, j in ends)
    return Picture("dag", "", boxes, tuple(named))


@st.composite
def pictures(make: st.DrawFn) -> Picture:
    words = st.text(max_size=30)
    count = make(st.integers(0, 14))
    boxes = tuple(
        Box(
            f"b{i}",
            make(st.sampled_from(KINDS)),
            make(words),
            tuple(make(st.lists(words, max_size=3))),
            make(st.integers(0, 10**11)),
            make(st.booleans()),
            tuple(make(st.lists(words, max_size=4))),
        )
        for i in range(count)
    )
    if count < 2:
        return Picture(make(words), make(words), boxes)
    ends = make(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30))
    port = st.sampled_from(("", "a", "b", "image"))
    wires = tuple(
        Wire(f"b{min(i, j)}", f"b{max(i, j)}", make(words), make(port), make(port)) for i, j in ends if i != j
    )
    return Picture(make(words), make(words), boxes, wires)


PICTURES = {
    "llava": llava(),
    "nothing": Picture("nothing"),
    "chain of 40": chain(40),
    "dag of 12": random_dag(12, 18, 6),
    "dag of 40": random_dag(40, 60, 12),
    "dag of 40, long wires": random_dag(40, 80, 40, seed=1),
    "compact": random_dag(320, 500, 30),
}


@pytest.fixture(params=list(PICTURES.values()), ids=list(PICTURES))
def picture(request: pytest.FixtureRequest) -> Picture:
    chosen = request.param
    assert isinstance(chosen, Picture)
    return chosen


def test_is_a_self_contained_document(picture: Picture) -> None:
    text = draw(picture)
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    named = {
        element.get("id") for element in (root.find(f"{SVG}title"), root.find(f"{SVG}desc")) if element is not None
    }
    assert set(str(root.get("aria-labelledby")).split()) == named
    assert not {element.tag.removeprefix(SVG) for element in root.iter()} - {
        *("svg", "title", "desc", "style", "defs", "pattern", "g", "rect", "path", "text")
    }
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "@media (prefers-color-scheme:dark)" in text


def test_fixed_themes_know_no_media_query() -> None:
    for theme, palette in (("light", LIGHT), ("dark", DARK)):
        text = draw(llava(), "light" if theme == "light" else "dark")
        assert "@media" not in text
        assert f".page{{fill:{palette.page}}}" in text
    assert draw(llava()) != draw(llava(), "light")


def test_style_reaches_nothing_outside_the_drawing() -> None:
    root = ET.fromstring(draw(llava()))
    style = root.find(f"{SVG}style")
    assert style is not None
    for line in str(style.text).strip().splitlines():
        selectors = line.split("{")[0].split(",")
        assert (
            line.startswith("@media") or line == "}" or all(one.startswith(f"#{root.get('id')}") for one in selectors)
        )


def test_same_bytes_whatever_the_hash_seed() -> None:
    program = (
        "import sys; from graphvlm.drawing import *\n"
        "boxes = tuple(Box(f'b{i}', 'encoder', f'n{i}') for i in range(30))\n"
        "wires = tuple(Wire(f'b{i}', f'b{j}', '[8]', f'p{i}') for i in range(30) for j in range(i + 1, 30, 4))\n"
        "sys.stdout.write(draw(Picture('t', '', boxes, wires)))"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(drawn) == 1
    assert draw(llava()) == draw(llava())


def test_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'networkx', 'jinja2', 'jsonschema'}"
    program = f"import sys, graphvlm.drawing; print(*{heavy} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert not loaded.strip()


def test_boxes_do_not_overlap(picture: Picture) -> None:
    assert_apart(layout(picture))


def assert_apart(placed: Layout) -> None:
    for one, other in combinations(placed.boxes, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y
    for box in placed.boxes:
        assert box.x >= 0
        assert box.y >= -0.01
        assert box.x + box.width <= placed.width + 0.01
        assert box.y + box.height <= placed.height + 0.01


def test_wires_lead_from_box_to_box(picture: Picture) -> None:
    assert_connected(layout(picture))


def assert_connected(placed: Layout) -> None:
    boxes = {box.box.id: box for box in placed.boxes}
    for route in placed.routes:
        source = boxes[route.trunk.wires[0].source]
        reached = {(round(source.x + source.width, 1), round(slot.y, 1)) for slot in source.slots_out}
        pieces = [((c.x0, c.y0), (c.x3, c.y3)) for c in route.curves] + [(t[0], t[-1]) for t in route.turns]
        waiting = [(point(*start), point(*end)) for start, end in pieces]
        while going := [piece for piece in waiting if piece[0] in reached]:
            reached.update(end for _, end in going)
            waiting = [piece for piece in waiting if piece not in going]
        assert not waiting, "a piece of a wire starts nowhere"
        slots = {
            point(boxes[wire.target].x, slot.y)
            for wire in route.trunk.wires
            for slot in boxes[wire.target].slots_in
            if slot.name == wire.port
        }
        tips = [point(*tip) for tip in route.tips]
        assert set(tips) == slots
        drawn = {(x, y) for x, y in tips if (round(x - 6.0, 1), y) in reached}
        assert len(tips) - len(drawn) == sum(end < start + 10 for _, start, end in route.cuts if end > start)


def point(x: float, y: float) -> tuple[float, float]:
    return round(x, 1), round(y, 1)


def test_wires_run_through_no_box(picture: Picture) -> None:
    placed = layout(picture)
    if not placed.compact:
        assert_clear(placed)


def assert_clear(placed: Layout) -> None:
    for route in placed.routes:
        points = [place for curve in route.curves for place in samples(curve)]
        points += [place for corners in route.turns for a, b in pairwise(corners) for place in line(a, b)]
        for box in placed.boxes:
            assert not any(inside(box, x, y) for x, y in points), f"a wire runs through {box.box.id}"


def samples(curve: Curve) -> list[tuple[float, float]]:
    middle = (curve.x1 + curve.x2) / 2
    bend = []
    for step in range(21):
        t = step / 20
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        bend.append(
            (a * curve.x1 + (b + c) * middle + d * curve.x2, (a + b) * curve.y0 + (c + d) * curve.y3),
        )
    return [*line((curve.x0, curve.y0), (curve.x1, curve.y0)), *bend, *line((curve.x2, curve.y3), (curve.x3, curve.y3))]


def line(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    steps = [step / 30 for step in range(31)]
    return [(start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])) for t in steps]


def inside(box: PlacedBox, x: float, y: float) -> bool:
    return box.x + 0.1 < x < box.x + box.width - 0.1 and box.y + 0.1 < y < box.y + box.height - 0.1


def test_labels_lie_on_no_box(picture: Picture) -> None:
    placed = layout(picture)
    for route in placed.routes:
        left, base = route.label_at
        right = left + width(route.label, LABEL_SIZE)
        for box in placed.boxes:
            apart = right <= box.x or left >= box.x + box.width
            assert not route.label or apart or base <= box.y or base - LABEL_SIZE >= box.y + box.height


def test_text_stays_in_its_box(picture: Picture) -> None:
    assert_text_fits(picture)


def assert_text_fits(picture: Picture) -> None:
    root = ET.fromstring(draw(picture))
    full = float(str(root.get("width")))
    for element in root.iter(f"{SVG}text"):
        assert number(element, "x") + extent(element) <= full
    for group in root.iter(f"{SVG}g"):
        face = group.find(f"{SVG}rect[@class='face']")
        if face is None:
            continue
        left, top = number(face, "x"), number(face, "y")
        for element in group.iter(f"{SVG}text"):
            wide = extent(element)
            start = number(element, "x") - wide * {"middle": 0.5, "end": 1.0}.get(element.get("text-anchor", ""), 0.0)
            assert left <= start
            assert start + wide <= left + number(face, "width") + 0.1
            assert top <= number(element, "y") - number(element, "font-size") * 0.7
            assert number(element, "y") <= top + number(face, "height") - 3


def number(element: ET.Element, name: str) -> float:
    return float(str(element.get(name)))


def extent(element: ET.Element) -> float:
    return width(element.text or "", number(element, "font-size"), element.get("class") in BOLD)


@settings(max_examples=60, deadline=None)
@given(pictures())
def test_random_pictures(picture: Picture) -> None:
    placed = layout(picture)
    assert_apart(placed)
    assert_connected(placed)
    assert_clear(placed)
    assert_text_fits(picture)


def test_hostile_names_stay_text() -> None:
    evil = "</text><script>alert(1)</script>\"'&<>\x00\x1b\u202e\ud800\ufffe]]>"
    boxes = (Box("a", "input", evil), Box("b", "encoder", evil, (evil, evil * 40), 10**40, True, (evil,) * 9))
    text = draw(Picture(evil, evil, boxes, (Wire("a", "b", evil, evil, evil),)))
    root = ET.fromstring(text)
    text.encode("utf-8")
    assert not list(root.iter(f"{SVG}script"))
    for forbidden in ("<script", "\x00", "\x1b", "\u202e", "\ufffe"):
        assert forbidden not in text


def test_tooltips_hold_what_was_cut() -> None:
    name = "a_very_long_name_that_cannot_possibly_fit_into_any_box_of_a_drawing"
    root = ET.fromstring(draw(Picture("p", boxes=(Box("a", "encoder", name, (), 303_507_456, True),))))
    shown = [element.text for element in root.iter(f"{SVG}text") if element.get("class") == "title"]
    assert shown != [name]
    tips = [str(element.text) for element in root.iter(f"{SVG}title")]
    assert any(name in tip and "303,507,456 parameters" in tip and "frozen" in tip for tip in tips)


def test_header_counts_parameters() -> None:
    text = draw(llava())
    assert "7.05 B parameters · 6.76 B trained · 290.0 M frozen" in text
    root = ET.fromstring(text)
    said = root.find(f"{SVG}desc")
    assert said is not None
    assert "input_ids (input), feeds text, fused." in str(said.text)
    assert "vision (encoder, frozen), feeds projector." in str(said.text)


def test_legend_names_the_kinds_that_occur() -> None:
    notes = [e.text for e in ET.fromstring(draw(llava())).iter(f"{SVG}text") if e.get("class") == "note"]
    assert notes[1:] == ["input", "encoder", "projector", "fusion", "decoder", "output", "frozen"]


def test_ports_are_named_only_where_there_are_several() -> None:
    ports = [e.text for e in ET.fromstring(draw(llava())).iter(f"{SVG}text") if e.get("class") == "port"]
    assert sorted(filter(None, ports)) == ["ids", "image", "text"]


def test_layers_go_from_left_to_right() -> None:
    x = {box.box.id: box.x for box in layout(llava()).boxes}
    assert x["pixel_values"] < x["vision"] < x["projector"] < x["fused"] < x["llm"] < x["logits"]


def test_main_line_is_straight() -> None:
    level = {box.box.id: box.slots_out[0].y for box in layout(llava()).boxes if box.slots_out}
    assert level["pixel_values"] == pytest.approx(level["vision"], abs=0.05)
    assert level["vision"] == pytest.approx(level["projector"], abs=0.05)
    assert level["fused"] == pytest.approx(level["llm"], abs=0.05)


def test_a_long_chain_is_folded_into_rows() -> None:
    placed = layout(chain(40))
    rows = sorted({round(box.y) for box in placed.boxes})
    assert 4 <= len(rows) <= 10
    assert placed.width < 2200
    assert sum(len(route.turns) for route in placed.routes) >= 4
    assert not any(route.turns for route in layout(llava()).routes)


@pytest.mark.parametrize(
    "big",
    [
        chain(2000),
        random_dag(2000, 4000, 1000),
        Picture("fan", boxes=chain(2000).boxes, wires=tuple(Wire(f"b{i}", "b1999", "", f"p{i}") for i in range(1999))),
        Picture(
            "mirror",
            boxes=chain(2000).boxes,
            wires=chain(2000).wires + tuple(Wire(f"b{i}", f"b{1999 - i}") for i in range(999)),
        ),
    ],
    ids=["chain", "dag", "fan", "mirror"],
)
def test_two_thousand_boxes_are_drawn_in_time(big: Picture) -> None:
    start = time.process_time()
    text = draw(big)
    assert time.process_time() - start < 3  # 0.7 s at most on an idle machine
    ET.fromstring(text)


def test_many_long_wires_are_cut_and_say_where_they_lead() -> None:
    base = chain(400)
    wires = base.wires + tuple(Wire(f"b{i}", f"b{399 - i}") for i in range(199))
    placed = layout(Picture("mirror", boxes=base.boxes, wires=wires))
    assert any(route.cuts for route in placed.routes)
    assert_connected(placed)
    assert "block_0 \u2192 block_399" in draw(Picture("mirror", boxes=base.boxes, wires=wires))


def test_refuses_what_is_not_a_picture() -> None:
    boxes = (Box("a", "encoder", "a"), Box("b", "encoder", "b"))
    with pytest.raises(ValueError, match="same id"):
        Picture("p", boxes=(*boxes, boxes[0]))
    with pytest.raises(ValueError, match="ends at no box"):
        Picture("p", boxes=boxes, wires=(Wire("a", "c"),))
    with pytest.raises(ValueError, match="cycle"):
        draw(Picture("p", boxes=boxes, wires=(Wire("a", "b"), Wire("b", "a"))))
