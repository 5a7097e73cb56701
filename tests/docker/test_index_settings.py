"""What the builder's pip is told, the build's pip is told, and sees the files it names."""

import index_settings


def test_folders_on_this_disk_are_mounted_and_indexes_with_their_files(tmp_path):
    for folder in ("wheels", "pypi/simple", "certs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "certs/all.crt").write_text("x")
    settings = {
        "find-links": f"{tmp_path}/wheels https://example.invalid/wheels",
        "extra-index-url": f"file://{tmp_path}/pypi/simple",
        "cert": f"{tmp_path}/certs/all.crt",
        "constraint": "/etc/hosts",
    }
    assert index_settings.volumes(settings) == tuple(
        f"{tmp_path}/{name}:{tmp_path}/{name}:ro" for name in ("certs", "pypi", "wheels")
    )
    arguments = index_settings.build_arguments(settings)
    assert arguments["PIP_CERT"].endswith("all.crt")
    assert arguments["TORCH_INDEX"] == ""


def test_a_builder_without_settings_hands_nothing_on():
    assert index_settings.build_arguments({"timeout": "60"}) == {}
    assert index_settings.volumes({"timeout": "60"}) == ()
