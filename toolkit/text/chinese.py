"""Mandarin text to phones: jieba's words, pypinyin's readings, PaddleSpeech's numbers and tone sandhi (by misaki).

Upstream reads polyphonic characters with a model (G2PW) that no package carries; here pypinyin's phrases do, which is
upstream's own way without that model. The syllable table and the erhua rules are facts of its training data
(GPT-SoVITS, MIT licence; PaddleSpeech, Apache-2.0). Of 2,500 sentences of random words 22 differ from upstream without
G2PW, in one tone each: it has edited PaddleSpeech's lists of unstressed words.
Latin letters are not read here: `mixed` hands them to the English front end.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from converters.errors import InputError
from toolkit.text.front_end import package
from toolkit.text.punctuation import MARKS, without_repeats
from toolkit.text.symbols import PUNCTUATION

_WHAT = "Chinese text to phones"
_REPLACED = {**MARKS, "$": ".", "/": ",", "—": "-", "~": "…", "～": "…", "嗯": "恩", "呣": "母"}
_FOREIGN = re.compile("[^\u4e00-\u9fa5" + "".join(map(re.escape, PUNCTUATION)) + "]+")
_AFTER_MARK = re.compile("(?<=[{}])\\s*".format("".join(map(re.escape, PUNCTUATION))))
_WAVE = re.compile(r"(?<![\d%℃度米])[~～]|[~～](?!\d)")
_WORD = re.compile(r"(?<![A-Za-z\d])(?<!\d )[A-Za-z]+")  # not behind a number, where it is a unit
_ELLIPSIS = re.compile("(…)")
_INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")
# Finals that change their spelling after an initial, or alone.
_SHORTENED = {"uei": "ui", "iou": "iu", "uen": "un"}
_ALONE = {"ing": "ying", "i": "yi", "in": "yin", "u": "wu"}
_ALONE_FIRST = {"v": "yu", "e": "e", "i": "y", "u": "w"}
# Written alike, said otherwise.
_AFTER_PALATAL = {"u": "v", "uan": "van", "ue": "ve", "un": "vn"}
_BUZZED = {"zhi": "ir", "chi": "ir", "shi": "ir", "ri": "ir", "zi": "i0", "ci": "i0", "si": "i0"}
_ALWAYS_ERHUA = frozenset(("小院儿", "胡同儿", "范儿", "老汉儿", "撒欢儿", "寻老礼儿", "妥妥儿", "媳妇儿"))
_CHILD = "虐 为 护 瞒 救 替 有 一 我 俺 妻 拐 聋 乞 患 幼 孤 婴 婴幼 连体 脑瘫 流浪 体弱 混血 蜜雪"
_CALLED = "舫 祖 美 应采 可 侄 孙 侄孙 女 男 红孩 花 虫 马 鸟 猪 猫 狗 少"
_NEVER_ERHUA = frozenset(stem + "儿" for stem in f"{_CHILD} {_CALLED}".split())


def chinese_phones(text: str) -> list[str]:
    """Phones of a sentence: an initial and a final with its tone for each character, and marks.

    Raises:
        ExtraMissing: jieba, pypinyin or misaki is not installed.
        InputError: a reading is no syllable of Mandarin.
    """
    return aligned_phones(text)[0]


def aligned_phones(text: str) -> tuple[list[str], str, list[int]]:
    """Phones, the characters they are of, and how many each character has: what text features are spread by.

    Raises:
        ExtraMissing: jieba, pypinyin or misaki is not installed.
        InputError: a reading is no syllable of Mandarin.
    """
    phones: list[str] = []
    counts: list[int] = []
    segments = [part for part in _AFTER_MARK.split(normalised(text)) if part.strip()]
    for segment in segments:
        for found, per_character in _segment(segment):
            phones += found
            counts += per_character
    return phones, "".join(segments), counts


def normalised(text: str) -> str:
    """The text with numbers as words and only characters and marks the model knows."""
    return without_repeats("".join(_FOREIGN.sub("", sentence) for sentence in _in_words(text)))


def not_read(text: str) -> list[str]:
    """Words in other writing, which ``normalised`` drops; units and numbers are read."""
    dropped = [*_WORD.findall(text), *(run for each in _in_words(text) for run in _FOREIGN.findall(each))]
    return [word for run in dropped for word in re.findall(r"[^\W_]+", run)]


def _in_words(text: str) -> Iterator[str]:
    """Sentences with numbers as words and the model's marks."""
    normaliser = package("misaki.zh_normalization", _WHAT).TextNormalizer()
    # misaki reads every ~ as "to" and drops …; the model knows … and was trained with ~ as it, except between numbers.
    # A Latin word would be searched for units: the h of "iPhone" would be said as hours.
    parts = _ELLIPSIS.split(_WAVE.sub("…", _WORD.sub("", text)))
    spoken = [sentence for part in parts for sentence in (["…"] if part == "…" else normaliser.normalize(part))]
    for sentence in spoken:
        for written, mark in _REPLACED.items():
            sentence = sentence.replace(written, mark)
        yield sentence


def _segment(segment: str) -> Iterator[tuple[list[str], list[int]]]:
    """Phones of each word, and how many each of its characters has."""
    tones = _tones()
    for word, kind in tones.pre_merge_for_modify([tuple(pair) for pair in _cut(segment)]):
        initials, finals = _readings(word)
        finals = _with_erhua(word, kind, tones.modified_tone(word, kind, finals), len(initials))
        spoken = [
            [initial] if initial == final else _syllable(initial, final, word)
            for initial, final in zip(initials, finals, strict=True)
        ]
        found = [phone for phones in spoken for phone in phones]
        # A run of marks is one reading: its first mark takes it.
        even = len(spoken) == len(word)
        yield found, [len(phones) for phones in spoken] if even else [len(found), *[0] * (len(word) - 1)]


def _cut(segment: str) -> list[Any]:
    return [(pair.word, pair.flag) for pair in _words().lcut(segment)]


@lru_cache(maxsize=1)
def _words() -> Any:
    package("jieba", _WHAT).setLogLevel(logging.CRITICAL)  # it reports on standard error how it builds its dictionary
    return package("jieba.posseg", _WHAT)


@lru_cache(maxsize=1)
def _tones() -> Any:
    return package("misaki.tone_sandhi", _WHAT).ToneSandhi()


def _readings(word: str) -> tuple[list[str], list[str]]:
    pinyin = package("pypinyin", _WHAT)
    initials = pinyin.lazy_pinyin(word, neutral_tone_with_five=True, style=pinyin.Style.INITIALS)
    finals = pinyin.lazy_pinyin(word, neutral_tone_with_five=True, style=pinyin.Style.FINALS_TONE3)
    return initials, finals


def _with_erhua(word: str, kind: str, finals: list[str], count: int) -> list[str]:
    """A final 儿 takes the tone of the syllable before it and is said with it, except in words where it is its own."""
    if not finals or len(finals) != len(word) or count != len(word) or word[-1] != "儿":
        return finals
    last = "er2" if finals[-1] == "er1" else finals[-1]
    its_own = word not in _ALWAYS_ERHUA and (word in _NEVER_ERHUA or kind in {"a", "j", "nr"})
    if its_own or last not in {"er2", "er5"} or word[-2:] in _NEVER_ERHUA or len(finals) == 1:
        return [*finals[:-1], last]
    return [*finals[:-1], "er" + finals[-2][-1]]


def _syllable(initial: str, final: str, word: str) -> list[str]:
    """The model's two phones of a syllable.

    Raises:
        InputError: it is no syllable of Mandarin.
    """
    toneless, tone = final[:-1], final[-1:]
    if initial:
        written = initial + _SHORTENED.get(toneless, toneless)
    elif toneless in _ALONE:
        written = _ALONE[toneless]
    else:
        written = _ALONE_FIRST.get(toneless[:1], toneless[:1]) + toneless[1:]
    found = _parts(written)
    if tone not in "12345" or not toneless or found is None:
        raise InputError(f"{initial}{final} is no syllable", code="text/no-syllable", where=word, hint="give --phones")
    return [found[0], found[1] + tone]


def _parts(written: str) -> tuple[str, str] | None:
    """Initial and final of a syllable as the model names them; None when nothing follows the initial."""
    if written[0] in "aeo":
        return written[0].upper() * 2, written
    initial = next((known for known in _INITIALS if written.startswith(known)), "")
    final = written[len(initial) :]
    if not initial or not final:
        return None
    if written in _BUZZED:
        return initial, _BUZZED[written]
    if initial in ("j", "q", "x", "y"):
        final = _AFTER_PALATAL.get(final, final)
    if initial == "y":
        final = {"an": "En", "e": "E"}.get(final, final)
    return initial, final
