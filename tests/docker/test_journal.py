"""What was made of the same is not made again; what was made of anything else is."""

import pytest
from journal import Journal, context_digest, digest_of


def test_a_finished_step_is_known_to_the_next_run(tmp_path):
    Journal(tmp_path / "journal.json").keep("build", "made of", "id", 3.21)
    again = Journal(tmp_path / "journal.json")
    assert again.result("build", "made of") == "id"
    assert again.result("build", "made of something else") is None
    assert again.result("another", "made of") is None
    assert again.seconds() == {"build": 3.2}
    assert [path.name for path in tmp_path.iterdir()] == ["journal.json"]


def test_a_step_struck_out_is_done_again(tmp_path):
    journal = Journal(tmp_path / "journal.json")
    journal.keep("build", "made of", "id", 1.0)
    journal.forget(["build", "never done"])
    assert Journal(tmp_path / "journal.json").result("build", "made of") is None


def test_a_digest_depends_on_names_and_values_and_not_on_their_order():
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})
    assert digest_of({"a": "1", "b": "2"}) != digest_of({"a": "2", "b": "1"})


@pytest.fixture
def context(tmp_path):
    for name in ("lock", "code/one.py", "code/deep/two.py", "code/deep/__pycache__/two.pyc", "other/three"):
        path = tmp_path / "context" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "ignored").write_text("*\n!lock\n!code/**\n**/__pycache__\n")
    return tmp_path / "context", tmp_path / "ignored"


@pytest.mark.parametrize("name", ["lock", "code/one.py", "code/deep/two.py"])
def test_a_byte_that_the_build_sees_changes_the_digest(context, name):
    before = context_digest(*context)
    (context[0] / name).write_text("changed")
    assert context_digest(*context) != before


@pytest.mark.parametrize("name", ["code/deep/__pycache__/two.pyc", "other/three"])
def test_a_byte_that_the_build_does_not_see_changes_nothing(context, name):
    before = context_digest(*context)
    (context[0] / name).write_text("changed")
    assert context_digest(*context) == before


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("*\n!absent\n", "holds no absent"),
        ("*\ncode/*.py\n", "is neither"),
        ("*\n!code/deep/**\n**/deep\n", "lets no file in"),
    ],
)
def test_a_dockerignore_that_is_not_understood_is_an_error(context, lines, message):
    context[1].write_text(lines)
    with pytest.raises(ValueError, match=message):
        context_digest(*context)


def test_the_images_own_dockerignores_are_understood():
    import reproduce

    digests = {
        context_digest(reproduce.ROOT, reproduce.ROOT / f"docker/{name}.Dockerfile.dockerignore")
        for name in reproduce.IMAGES
    }
    assert len(digests) == 2
