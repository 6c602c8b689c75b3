"""Prompts of a model: its language and, for attention decoders, the task."""

from __future__ import annotations

from typing import Any

from speechkit.errors import UsageError

DEFAULTS = {  # where a checkpoint has none; those of NeMo for files without prompts
    "source_lang": "en",
    "target_lang": "en",
    "task": "asr",
    "pnc": "yes",
    "decodercontext": "",
    "emotion": "<|emo:undefined|>",
    "itn": "noitn",
    "timestamp": "notimestamp",
    "diarize": "nodiarize",
}


def is_attention_decoder(model: Any) -> bool:
    """Whether the model is prompted by a dialog, as Canary is."""
    return hasattr(model, "prompt")


def has_aligner(model: Any) -> bool:
    return getattr(model, "timestamps_asr_model", None) is not None


def require_known(model: Any, language: str | None, dataloader: str) -> None:
    """Raise `UsageError` for a language not of the model, or a loader that can't pass it on."""
    languages = _languages(model)
    if is_attention_decoder(model):
        if dataloader == "manifest":
            raise UsageError("--dataloader manifest: not for a model with an attention decoder")
        slots = {**_defaults(model), **_slots(model, language, times=False)}
        try:
            model.prompt.encode_dialog(turns=[{"role": "user", "slots": slots}])
        except Exception as e:  # NeMo asserts, looks up, maps
            raise UsageError(f"--language {language}: this model can't be told so: {e}") from e
    elif languages:
        if dataloader != "direct":
            raise UsageError(f"--dataloader {dataloader}: not for a model that takes a language")
        if (language or "auto") not in languages:
            option = f"--language {language}" if language else "without --language"
            raise UsageError(f"{option}: this model has {', '.join(sorted(languages))}")
    elif language:
        raise UsageError(f"--language {language}: this model takes no language")


def index(model: Any, language: str | None) -> int | None:
    """The number of the language of a transducer that is conditioned on one; else None."""
    if is_attention_decoder(model) or not _languages(model):
        return None
    return int(model.cfg.model_defaults.prompt_dictionary[language or "auto"])


def tell(model: Any, config: Any, language: str | None, *, times: bool) -> None:
    """Add an attention decoder's prompt to a transcribe configuration. ``times``: the model writes
    them itself."""
    if is_attention_decoder(model):
        slots = _slots(model, language, times=times)
        config.prompt = [{"role": "user", "slots": slots}] if slots else []


def _defaults(model: Any) -> dict[str, Any]:
    """The default prompt of an attention decoder; None for a slot without a default."""
    turns = model.prompt.get_default_dialog_slots()
    return {
        name: value
        for turn in turns
        if turn["role"] == "user"
        for name, value in turn["slots"].items()
    }


def _slots(model: Any, language: str | None, *, times: bool) -> dict[str, str]:
    """The slots of an attention decoder's prompt that differ from its defaults."""
    missing = [name for name, value in _defaults(model).items() if value is None]
    slots = {name: DEFAULTS[name] for name in missing if name in DEFAULTS}
    if language:
        slots |= {"source_lang": language, "target_lang": language}
    if times and "timestamp" in model.prompt.get_slots("user"):
        slots["timestamp"] = "yes"
    return slots


def _languages(model: Any) -> list[str]:
    """The languages of a transducer that is conditioned on one; else none."""
    return list(model.cfg.get("model_defaults", {}).get("prompt_dictionary") or ())
