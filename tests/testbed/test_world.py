from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import zstandard

from pivotkit.artifacts import read_json
from pivotkit.testbed import World, WorldConfig, scarce_config


def _read(path: Path) -> list[dict[str, str]]:
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_half_the_concepts_are_pivot_concepts_and_half_of_each_kind_is_held_out(small_world: World) -> None:
    kinds = [(concept.kind, concept.held_out) for concept in small_world.concepts]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        (kind, held_out): 4 for kind in ("direct", "pivot") for held_out in (False, True)
    }


@pytest.mark.parametrize("config", [WorldConfig(documents=3000), dataclasses.replace(scarce_config(), documents=3000)])
def test_a_pivot_concepts_words_in_a_and_b_never_share_a_document(config: WorldConfig) -> None:
    world = World(config)
    texts = [set(record["text"].split()) for record in world.records(world.documents)]
    for concept in world.concepts:
        a, b, p = (concept.words[x] for x in "abp")
        if concept.kind == "pivot":
            assert not any(a in words and b in words for words in texts)
        else:
            assert not any(p in words and (a in words or b in words) for words in texts)


def test_truth_counts_equal_a_scan_of_the_text(small_world: World, tmp_path: Path) -> None:
    files = small_world.write(tmp_path)
    texts = [set(record["text"].split()) for record in _read(files["corpus"])]
    truth = read_json(files["truth"])
    assert truth["documents"] == len(texts) == 600
    for entry in truth["concepts"]:
        for language, word in entry["words"].items():
            assert entry["df"][language] == sum(word in words for words in texts)
        for pair, number in entry["df_both"].items():
            first, second = (entry["words"][language] for language in pair)
            assert number == sum(first in words and second in words for words in texts)


def test_a_held_out_concept_stands_on_no_line_between_a_and_b(small_world: World) -> None:
    directions = set()
    for record in small_world.records(small_world.lines):
        for line in record["text"].splitlines():
            source_tag, source, target_tag, target = line.split()
            assert source_tag == f"{source[0].upper()}:"
            assert target_tag == f"{target[0].upper()}:"
            concept = small_world.concepts[int(source[1:])]
            assert int(target[1:]) == concept.index
            if concept.held_out:
                assert {source[0], target[0]} != {"a", "b"}
            directions.add((concept.held_out, source[0] + target[0]))
    assert (False, "ab") in directions


def test_a_block_of_lines_has_no_concept_twice(small_world: World) -> None:
    for record in small_world.records(small_world.lines):
        numbers = [line.split()[1][1:] for line in record["text"].splitlines()]
        assert 4 <= len(numbers) == len(set(numbers)) <= 6


def test_labels_name_the_minority_language(small_world: World) -> None:
    for record in small_world.records(small_world.documents):
        languages = {word[0] for word in record["text"].split()} - {"g"}
        assert record["lang"] in languages
        assert (record["lang"] == "p") == (languages == {"p"})


def test_lines_are_written_in_the_format_of_the_prompt(small_world: World) -> None:
    text = small_world.records(small_world.lines)[0]["text"]
    assert text.endswith("\n")
    for line in text.splitlines():
        assert [part[-1] == ":" for part in line.split(" ")] == [True, False, True, False]


def test_the_lexicon_has_one_row_a_concept(small_world: World, tmp_path: Path) -> None:
    rows = small_world.write(tmp_path)["lexicon"].read_text(encoding="utf-8").splitlines()
    assert rows[0] == "a=A\tb=B\tp=P"
    assert rows[1:] == [f"a{n}\tb{n}\tp{n}" for n in range(16)]


def test_equal_seeds_give_equal_bytes_and_another_seed_does_not(small_world: World, tmp_path: Path) -> None:
    again = World(dataclasses.replace(small_world.config))
    other = World(dataclasses.replace(small_world.config, seed=1))
    first, second, third = (
        world.write(tmp_path / name) for world, name in ((small_world, "1"), (again, "2"), (other, "3"))
    )
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes()
    assert first["corpus"].read_bytes() != third["corpus"].read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concepts": 5}, "concepts must be an even number"),
        ({"concepts": 16, "held_out": 16}, "held_out must be even and less than concepts"),
        ({"filler": (0.0, 5.0)}, "filler must be two densities"),
        ({"lines": (2, 500)}, "lines must not exceed concepts"),
        ({"direct_documents": {"abp": 1.0}}, "documents must be in one or two languages"),
        ({"pivot_documents": {"ab": 1.0}}, "pivot_documents must keep A and B apart"),
    ],
)
def test_impossible_worlds_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldConfig(**change)  # type: ignore[arg-type]
