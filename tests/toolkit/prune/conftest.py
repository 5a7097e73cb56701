from tests.toolkit.one_thread import _one_thread  # noqa: F401 (a fixture for all tests here)
