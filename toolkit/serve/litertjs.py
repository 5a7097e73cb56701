"""LiteRT.js, as the user installed it from npm: found, and every file compared with its pinned digest before use.

``@litertjs/core`` (Apache-2.0, 39 MB unpacked, of which 38 are WebAssembly) is neither part of this package nor loaded
from a network: the page gets it from the directory npm unpacked it into. Its helper ``@litertjs/wasm-utils`` is pinned
too, because ``core`` asks for any 2.5.x of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from converters.errors import ExtraMissing
from toolkit.cache_folder import cache_folder

VERSION = "2.5.3"

# What npm checks the two archives against (``npm view PACKAGE@VERSION dist.integrity``).
INTEGRITY = {
    "@litertjs/core": "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "@litertjs/wasm-utils": (
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ=="
    ),
}

# sha256 of the files that are served, by path below node_modules/@litertjs.
FILES = {
    "core/dist/index.js": "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
    "wasm-utils/dist/index.js": "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2",
    "core/wasm/litert_wasm_compat_internal.js": "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
    "core/wasm/litert_wasm_compat_internal.wasm": "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
    "core/wasm/litert_wasm_internal.js": "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
    "core/wasm/litert_wasm_internal.wasm": "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
    "core/wasm/litert_wasm_jspi_internal.js": "e685a3ed86f447c1feb8f5414319539c5e94d1cfc0eb49c3c5e6a788a6f5541b",
    "core/wasm/litert_wasm_jspi_internal.wasm": "a103e14db26cdbda9ba1a93633e59f3bf604d082fa7ab0c30ca730838e3faa69",
    "core/wasm/litert_wasm_threaded_internal.js": "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849",
    "core/wasm/litert_wasm_threaded_internal.wasm": "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf",
}


def default_directory() -> Path:
    """Where it is looked for when no directory is given."""
    return cache_folder("litertjs")


def install_command(directory: Path) -> str:
    """The command that puts it there."""
    packages = " ".join(f"{name}@{VERSION}" for name in INTEGRITY)
    return f"npm install --prefix {directory} {packages}"


def litertjs_files(directory: Path) -> dict[str, Path]:
    """The files of LiteRT.js, by their path below ``node_modules/@litertjs``.

    Args:
        directory: what was given to npm's ``--prefix``.

    Raises:
        ExtraMissing: a file is not there, or not the one of the pinned version.
    """
    found: dict[str, Path] = {}
    for name, digest in FILES.items():
        path = directory / "node_modules" / "@litertjs" / name
        if not path.is_file():
            raise ExtraMissing(
                "LiteRT.js is not installed there",
                code="serve/litertjs-missing",
                where=str(path),
                hint=install_command(directory),
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ExtraMissing(
                f"not the file of LiteRT.js {VERSION}: its sha256 differs",
                code="serve/litertjs-differs",
                where=str(path),
                hint=install_command(directory),
            )
        found[name] = path
    return found
