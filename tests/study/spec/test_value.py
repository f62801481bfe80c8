from __future__ import annotations

import pytest
from pydantic import ValidationError

from headstart.study.spec.value import Spec


class Named(Spec):
    name: str = "none"


def test_a_part_of_a_study_file_is_frozen_and_refuses_keys_that_it_does_not_have() -> None:
    assert Named(name="a") == Named.model_validate({"name": "a"})
    with pytest.raises(ValidationError, match="frozen"):
        Named().name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match=r"(?s)nam.*not permitted"):
        Named.model_validate({"nam": "a"})
