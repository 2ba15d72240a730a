"""Rows mapped on trial: each problem is named with its column, counted, and some keys told; no value is."""

from __future__ import annotations

from typing import Any

from sync_profiles.core.facts import SampleFacts
from sync_profiles.core.mapping import compile_mapping
from sync_profiles.core.sampling import Sampling
from sync_profiles.core.types import Column, Kind, MappingSpec, Page, Property

COLUMNS = (
    Column("id", Kind.TEXT, "text"),
    Column("bio", Kind.TEXT, "text"),
    Column("score", Kind.FLOAT, "double precision"),
    Column("born", Kind.DATE, "date"),
    Column("gone", Kind.BOOLEAN, "boolean"),
)
FINE = ("1", "ok", 1.5, "2000-01-01", False)
NAMES = ("id", "bio", "score", "born", "gone")


def sampled(*pages: list[dict[str, Any]], **spec: Any) -> SampleFacts:
    mapping = MappingSpec(
        set={"bio": Property(column="bio"), "score": Property(column="score")},
        set_once={"born": Property(column="born")},
        deleted="gone",
        **spec,
    )
    mapper = compile_mapping(mapping, COLUMNS, ("id",), token="***")
    sampling = Sampling(mapper)
    for page in pages:
        whole = [{**dict(zip(NAMES, FINE, strict=True)), **row} for row in page]
        rows = [tuple(row[name] for name in mapper.columns) for row in whole]
        sampling.add(Page([str(row["id"]) for row in whole], rows))
    return sampling.facts()


def named(facts: SampleFacts) -> dict[tuple[str, str], tuple[int, tuple[str, ...]]]:
    return {(one.place, one.code): (one.found.rows, one.found.keys) for one in facts.values}


def test_plain_rows_have_no_problems_and_a_weight():
    facts = sampled([{}, {"id": "2"}])
    assert (facts.rows, facts.profiles, facts.records, facts.values) == (2, 2, 4, ())
    assert facts.bytes > 200


def test_every_problem_of_a_row_is_named_not_only_the_first():
    facts = sampled([{"bio": "\0", "score": float("nan"), "born": "nonsense"}, {"id": "2"}])
    assert named(facts) == {
        ('column "bio"', "bad_value"): (1, ("1",)),
        ('column "score"', "not_finite"): (1, ("1",)),
        ('column "born"', "bad_date"): (1, ("1",)),
    }
    assert facts.profiles == 1


def test_a_problem_is_counted_once_a_row_and_three_keys_are_told():
    facts = sampled([{"id": str(number), "bio": "\0"} for number in range(1, 6)])
    assert named(facts) == {('column "bio"', "bad_value"): (5, ("1", "2", "3"))}


def test_texts_longer_than_255_bytes_are_cut_by_mixpanel_and_still_sent():
    facts = sampled([{"bio": "x" * 255}, {"id": "2", "bio": "é" * 127 + "x"}, {"id": "3", "bio": "é" * 128}])
    assert named(facts) == {('column "bio"', "long"): (1, ("3",))}
    assert facts.profiles == 3


def test_texts_in_lists_are_looked_at_too():
    spec = MappingSpec(set={"tags": Property(column="tags", type="list")}, union={"all": Property(column="bio")})
    columns = (*COLUMNS, Column("tags", Kind.TEXT, "text"))
    mapper = compile_mapping(spec, columns, ("id",), token="***")
    sampling = Sampling(mapper)
    row = {"id": "1", "bio": "x" * 256, "tags": '["a"]'}
    sampling.add(Page(["1"], [tuple(row[name] for name in mapper.columns)]))
    assert named(sampling.facts()) == {('column "bio"', "long"): (1, ("1",))}


def test_an_id_that_cannot_be_sent_is_a_problem_of_the_distinct_id():
    assert named(sampled([{"id": " "}])) == {('distinct ID (column "id")', "refused_id"): (1, (" ",))}


def test_rows_that_count_as_deleted_are_not_looked_at():
    facts = sampled([{"bio": "\0", "gone": True}, {"id": "2"}])
    assert (facts.rows, facts.values) == (1, ())


def test_a_row_that_comes_twice_counts_once():
    assert sampled([{"bio": "\0"}], [{"bio": "\0"}, {"id": "2"}]).rows == 2


def test_what_the_mapper_warns_of_is_told_once():
    facts = sampled([{"born": "1950-01-01"}], [{"id": "2", "born": "1960-01-01"}])
    assert facts.warnings == ()  # $set_once is not read by the mapper until it is sent
    old = MappingSpec(set={"born": Property(column="born")})
    mapper = compile_mapping(old, COLUMNS, ("id",), token="***")
    sampling = Sampling(mapper)
    for key in ("1", "2"):
        values = {"id": key, "born": "1950-01-01"}
        sampling.add(Page([key], [tuple(values[name] for name in mapper.columns)]))
    assert [code for code, _ in sampling.facts().warnings] == ["before_1970"]


def test_no_row_at_all_is_no_problem():
    assert sampled([]) == SampleFacts(rows=0, profiles=0, records=0, bytes=0, values=(), warnings=())
