#!/usr/bin/env python
"""A training by transformers' Seq2SeqTrainer as its recipe for Whisper has it.

    scripts/bench/seq2seq_trainer.py TASK

TASK: a `finetune.Task` in JSON; what finetune.py measures runs it. The features are files, which
are made before the training, as `datasets` does. The recipe:
https://huggingface.co/blog/fine-tune-whisper and transformers' examples.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import benchlib
import numpy as np
import torch
import transformers
from finetune import RATE, Task
from recordings import RATE as SAMPLE_RATE

from speechkit.io import audio


class Prepared(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Features and labels of a manifest, in files in ``folder``."""

    def __init__(self, manifest: Path, processor: Any, folder: Path) -> None:
        self._folder = folder
        self._labels = []
        for at, line in enumerate(benchlib.read_manifest(manifest)):
            samples = audio.load(line["audio_filepath"], sample_rate=SAMPLE_RATE).waveform
            features = processor.feature_extractor(samples, sampling_rate=SAMPLE_RATE)
            np.save(folder / f"{at}.npy", features.input_features[0])
            self._labels.append(processor.tokenizer(line["text"]).input_ids)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, at: int) -> dict[str, Any]:
        return {"input_features": np.load(self._folder / f"{at}.npy"), "labels": self._labels[at]}


class Collator:
    """DataCollatorSpeechSeq2SeqWithPadding of the recipe; ``start``: the decoder's first token."""

    def __init__(self, processor: Any, start: int) -> None:
        self._processor = processor
        self._start = start

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> Any:
        features = [{"input_features": one["input_features"]} for one in examples]
        batch = self._processor.feature_extractor.pad(features, return_tensors="pt")
        said = [{"input_ids": one["labels"]} for one in examples]
        padded = self._processor.tokenizer.pad(said, return_tensors="pt")
        labels = padded["input_ids"].masked_fill(padded.attention_mask.ne(1), -100)
        if (labels[:, 0] == self._start).all().cpu().item():
            labels = labels[:, 1:]
        batch["labels"] = labels
        return batch


def arguments(task: Task) -> Any:
    on_cpu = task.device == "cpu" or not torch.cuda.is_available()
    return transformers.Seq2SeqTrainingArguments(
        output_dir=str(Path(task.output) / "trainer"),
        per_device_train_batch_size=task.batch,
        max_steps=task.steps,
        learning_rate=RATE,
        warmup_steps=max(1, task.steps // 10),
        bf16=task.compute_type == "bfloat16",
        fp16=task.compute_type == "float16",
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        predict_with_generate=False,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=True,
    )


def train(task: Task) -> None:
    transformers.logging.set_verbosity_error()
    folder = Path(task.output)
    folder.mkdir(parents=True)
    processor: Any = transformers.WhisperProcessor.from_pretrained(task.model)
    processor.tokenizer.pad_token = processor.tokenizer.eos_token
    model: Any = transformers.WhisperForConditionalGeneration.from_pretrained(task.model)
    done = transformers.Seq2SeqTrainer(
        model=model,
        args=arguments(task),
        train_dataset=Prepared(Path(task.manifest), processor, folder),
        data_collator=Collator(processor, model.config.decoder_start_token_id),
    ).train()
    (folder / "spent.json").write_text(json.dumps(done.metrics))


if __name__ == "__main__":
    train(Task(**json.loads(sys.argv[1])))
