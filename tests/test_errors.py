from __future__ import annotations

import pickle

import pytest

from serve_apps import errors
from serve_apps.errors import ProtocolError, RaydioError, StageError


def all_errors() -> list[type[RaydioError]]:
    found = [RaydioError]
    for error in found:
        found.extend(error.__subclasses__())
    return [error for error in found if error.__module__ == "serve_apps.errors"]


def example(kind: type[RaydioError]) -> RaydioError:
    if issubclass(kind, StageError):
        return kind("llm", "It broke.", "Try again.", 2.5)
    if issubclass(kind, ProtocolError):
        return kind("It broke.", "Try again.", "item.id", "event_1")
    return kind("It broke.", "Try again.")


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_errors_survive_the_way_between_replicas(kind: type[RaydioError]) -> None:
    error = pickle.loads(pickle.dumps(example(kind)))  # noqa: S301
    assert type(error) is kind
    assert str(error) == "It broke. Try again."
    assert (error.message, error.hint) == ("It broke.", "Try again.")
    if isinstance(error, StageError):
        assert (error.stage, error.retry_after_s) == ("llm", 2.5)
    if isinstance(error, ProtocolError):
        assert (error.param, error.event_id) == ("item.id", "event_1")


def test_the_tree_in_the_docstring_and_all_are_complete() -> None:
    names = {kind.__name__ for kind in all_errors()}
    assert names == set(errors.__all__)
    assert errors.__doc__
    assert all(name in errors.__doc__ for name in names)


def test_codes_tell_errors_apart() -> None:
    codes = [kind.code for kind in all_errors()]
    assert len(codes) == len(set(codes))


def test_a_code_alone_leads_to_its_status() -> None:
    assert errors.status_of("stage_busy") == 429
    assert errors.status_of("embedding_mismatch") == 409
    assert errors.status_of("never heard of") == 500
