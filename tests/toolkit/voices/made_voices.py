"""Small voices made of seeded numbers."""

import numpy as np

from toolkit.voices.features import VoiceFeatures, checked_features


def made_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    vector = generator.standard_normal(256).astype(np.float32)
    return {
        "d_vector": vector / np.linalg.norm(vector),
        "ge": generator.standard_normal((1, 512, 1)).astype(np.float32),
        "prompt_codes": generator.integers(0, 1024, 40).astype(np.int32),
        "prompt_phones": generator.integers(0, 732, 12).astype(np.int32),
    }


def made_voice(seed: int = 0, language: str = "en") -> VoiceFeatures:
    return checked_features(made_arrays(seed), language)
