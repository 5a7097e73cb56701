"""Enrolment on the PC, in torch: the SoVITS file and the user's own weights of HuBERT, BERT and a speaker encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import CheckpointError
from toolkit.text.vocabulary import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.bert import Bert
    from toolkit.models.gpt_sovits.checkpoint import Checkpoint
    from toolkit.models.gpt_sovits.eres2net import SpeakerEncoder
    from toolkit.models.gpt_sovits.hubert import Hubert
    from toolkit.models.gpt_sovits.state_dict import StateDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Pretrained models beside the two checkpoints of a voice; every one may be missing.

    Attributes:
        ssl: HuBERT.
        bert: BERT.
        vocabulary: its tokens; there when ``bert`` is.
        speaker: speaker encoder (v2Pro).
        sources: name of each file to its sha256.
    """

    ssl: Hubert | None = None
    bert: Bert | None = None
    vocabulary: Vocabulary | None = None
    speaker: SpeakerEncoder | None = None
    sources: Mapping[str, str]


def read_listeners(sovits: Checkpoint, ssl: Path | None, bert: Path | None, sv: Path | None) -> Listeners:
    """Reads what the user has, each checked against the SoVITS model it is to serve.

    Args:
        sovits: the SoVITS checkpoint.
        ssl: chinese-hubert-base: its directory or weights file.
        bert: chinese-roberta-wwm-ext-large, its directory, or its weights file with ``vocab.txt`` beside it.
        sv: ERes2NetV2's checkpoint (v2Pro).

    Raises:
        CheckpointError: a file is unusable, is not the model this version was trained with, or HuBERT is given for a
            v2Pro model without a speaker encoder.
        EngineError: BERT's vocabulary cannot be read.
    """
    from toolkit.models.gpt_sovits.bert import load_bert
    from toolkit.models.gpt_sovits.eres2net import BINS, load_speaker_encoder
    from toolkit.models.gpt_sovits.hubert import load_hubert
    from toolkit.models.gpt_sovits.sovits import config_of
    from toolkit.models.gpt_sovits.state_dict import read_state_dict

    config = config_of(sovits)
    sources: dict[str, str] = {}

    def read(path: Path) -> StateDict:
        found = read_state_dict(path)
        sources[path.name if path == found.path else f"{path.name}/{found.path.name}"] = found.sha256
        return found

    hubert = None
    if ssl is not None:
        state = read(ssl)
        hubert = load_hubert(state)
        _check_size("features", hubert.config.width, config.ssl, state)
    reader, vocabulary = None, None
    if bert is not None:
        state = read(bert)
        reader, vocabulary = load_bert(state), read_vocabulary(state.path.with_name("vocab.txt"))
        highest = max(vocabulary.end, vocabulary.begin, vocabulary.unknown, *vocabulary.ids.values())
        if highest >= reader.config.tokens:
            _check_size("tokens", reader.config.tokens, highest + 1, state)
    encoder = None
    if sv is None and ssl is not None and config.speaker:
        raise CheckpointError(
            f"a {sovits.version} model wants a speaker embedding, and no speaker encoder was given",
            code="checkpoint/pair",
            where=str(sovits.path),
            hint="--sv pretrained_eres2netv2w24s4ep4.ckpt (pretrained_models/sv of upstream)",
        )
    if sv is not None:
        state = read(sv)
        encoder = load_speaker_encoder(state)
        if not config.speaker:
            raise CheckpointError(
                f"a {sovits.version} model takes no speaker embedding",
                code="checkpoint/pair",
                where=str(sv),
                hint="leave out --sv; only v2Pro and v2ProPlus want it",
            )
        _check_size("numbers", encoder.fuse34.local_att[4].num_features * BINS // 8, config.speaker, state)
    return Listeners(ssl=hubert, bert=reader, vocabulary=vocabulary, speaker=encoder, sources=sources)


def _check_size(what: str, found: int, wanted: int, state: StateDict) -> None:
    if found != wanted:
        raise CheckpointError(
            f"it makes {found} {what}, the model it is to serve wants {wanted}",
            code="checkpoint/pair",
            where=str(state.path),
            hint="give the pretrained model GPT-SoVITS was trained with",
        )


class TorchNetworks:
    """The networks of enrolment in torch (see ``toolkit.engine.enrolment.Networks``).

    Args:
        path: the SoVITS ``.pth``.
        ssl: HuBERT; and
        bert: BERT; and
        sv: the speaker encoder: see ``read_listeners``.

    Attributes:
        sources: name of each file to its sha256.

    Raises:
        CheckpointError: a file is unusable, or a v2Pro model comes without a speaker encoder.
        EngineError: BERT's vocabulary cannot be read.
    """

    def __init__(self, path: Path, ssl: Path, bert: Path | None = None, sv: Path | None = None) -> None:
        from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
        from toolkit.models.gpt_sovits.sovits import code_extractor, config_of, enrolment_model

        checkpoint = read_checkpoint(path, "sovits")
        config = config_of(checkpoint)
        self.with_speaker = bool(config.speaker)
        self._listeners = read_listeners(checkpoint, ssl, bert, sv)
        self.model_sha256, self.symbols, self.style_bins = checkpoint.sha256, config.symbols, config.style_bins
        self.vocabulary = self._listeners.vocabulary
        self.sources = {path.name: checkpoint.sha256, **self._listeners.sources}
        self._extractor, self._enrolment = code_extractor(checkpoint), enrolment_model(checkpoint)

    def ssl(self, sound: np.ndarray) -> np.ndarray:
        """``[1, samples]`` at 16 kHz to ``[1, width, frames]``."""
        import torch

        hubert = self._listeners.ssl
        assert hubert is not None
        lengths = hubert.config.lengths(sound.shape[1])
        return self._run(hubert, torch.from_numpy(sound), torch.ones(1, 1, lengths[0]), torch.ones(1, 1, lengths[-1]))

    def nearness(self, features: np.ndarray) -> np.ndarray:
        """``[1, width, frames]`` to ``[1, frames // 2, codes]``."""
        import torch

        return self._run(self._extractor, torch.from_numpy(features))

    def style(self, spectrogram: np.ndarray, speaker: np.ndarray | None) -> Mapping[str, np.ndarray]:
        """``[1, bins, frames]`` (and ``[1, n]``) to ``ge`` (and ``ge_text``)."""
        import torch

        from toolkit.models.gpt_sovits.sovits import mean_style

        speakers = [] if speaker is None else [torch.from_numpy(speaker)]
        ge, ge_text = mean_style(self._enrolment, [torch.from_numpy(spectrogram)], speakers)
        return {"ge": ge.numpy(), **({"ge_text": ge_text.numpy()} if speaker is not None else {})}

    def speaker(self, energies: np.ndarray) -> np.ndarray:
        """``[1, frames, 80]`` to ``[1, n]``."""
        import torch

        from toolkit.engine.listening import mask_lengths

        encoder = self._listeners.speaker
        assert encoder is not None
        masks = [torch.ones(1, 1, 1, length) for length in mask_lengths(energies.shape[1])]
        return self._run(encoder, torch.from_numpy(energies), *masks)

    def text(self, tokens: np.ndarray) -> np.ndarray:
        """``[1, tokens]`` to ``[width, tokens]``."""
        import torch

        from toolkit.models.gpt_sovits.bert import text_features

        bert = self._listeners.bert
        assert bert is not None
        return text_features(bert, torch.from_numpy(tokens)).numpy()

    @staticmethod
    def _run(module: object, *inputs: object) -> np.ndarray:
        import torch

        with torch.no_grad():
            return module(*inputs).numpy()  # type: ignore[operator]
