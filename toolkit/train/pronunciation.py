"""ARPAbet, which GPT-SoVITS reads, to the IPA an espeak-based Piper voice reads: one front end for both.

So the audio says what the phones say, and no program outside of the lock is needed. Conventions are espeak-ng's
``en-us``: stress before the vowel, ``ɚ`` and ``ᵻ`` where nothing is stressed, little words unstressed.
"""

from __future__ import annotations

from typing import Final

from toolkit.text.english import english_words

_CONSONANTS: Final = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l", "M": "m",
    "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
}  # fmt: skip
_VOWELS: Final = {
    "AA": "ɑː", "AE": "æ", "AH": "ʌ", "AO": "ɔː", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɜː", "EY": "eɪ", "IH": "ɪ",
    "IY": "iː", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "uː",
}  # fmt: skip
_UNSTRESSED: Final = {"AH": "ə", "ER": "ɚ", "IY": "i", "UW": "u", "AO": "ɔ", "AA": "ɑ"}
_STRESS: Final = {"0": "", "1": "ˈ", "2": "ˌ"}
_LITTLE_WORDS: Final = """
    a an the to of in at on by for from with as and but or if so than that there is are was were be been it its he she
    we they you i my your his her our their would should could did does do has had have we'd i'd
"""
_LITTLE: Final = frozenset(_LITTLE_WORDS.split())
_MARKS: Final = {"…": ".", "-": ","}


def spoken_form(text: str) -> tuple[list[str], str]:
    """A sentence for both readers.

    Args:
        text: English.

    Returns:
        GPT-SoVITS's phones, and IPA for the voice.

    Raises:
        ExtraMissing: a package of the English front end is not installed.
    """
    pieces = spoken_pieces(text)
    return [phone for phone, _ in pieces], "".join(ipa for _, ipa in pieces)


def spoken_pieces(text: str) -> list[tuple[str, str]]:
    """Each phone of a sentence with its IPA: an empty piece is not said, and the space behind a word is its last
    phone's.

    Raises:
        ExtraMissing: a package of the English front end is not installed.
    """
    pieces: list[tuple[str, str]] = []
    for word, sounds in english_words(text):
        if sounds[0][0].isalpha():
            if pieces:
                phone, ipa = pieces[-1]
                pieces[-1] = (phone, ipa + " ")
            little = word.lower() in _LITTLE
            pieces += [(sound, _ipa(sound, little)) for sound in sounds]
        else:
            pieces += [(sounds[0], _MARKS.get(sounds[0], sounds[0])), *((sound, "") for sound in sounds[1:])]
    return pieces


def _ipa(phone: str, little: bool) -> str:
    if phone in _CONSONANTS:
        return _CONSONANTS[phone]
    vowel, stress = (phone[:-1], phone[-1]) if phone[-1].isdigit() else (phone, "0")
    if vowel not in _VOWELS:
        return ""  # UNK: nothing is said
    sound = _UNSTRESSED.get(vowel, _VOWELS[vowel]) if stress == "0" else _VOWELS[vowel]
    return ("" if little else _STRESS[stress]) + sound
