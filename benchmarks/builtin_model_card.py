"""Writes the model card of `builtin` from its card.json: `make builtin` calls it.

python benchmarks/builtin_model_card.py FOLDER
"""

import sys
from pathlib import Path

from artifactscan.model.checkpoint import load_checkpoint
from artifactscan.model.model_card import figure_rows, label_rows, maker_rows

TEXT = """\
# The built-in checkpoint

`builtin`: a probe of `tf_efficientnet_lite2` (4.9 million weights, 10 MB) that takes whole frames of 224×384 pixels and
gives one probability for each of four labels: boundary, texture, motion, object. Its head sees a frame's pooled
features and how much they change to the sampled frames before and after; part of a score is that of those frames. It
ranks frames better than chance, not well enough to decide on single frames: use it to see where to look first, to
follow a corpus over time with [estimates](../../../../docs/audit.md), and as a starting point for a probe on labels of
your own.

## Figures

The same fit measured on held-out frames; the checkpoint itself was fitted to all frames. Intervals of 95 %, over
videos; chance: always answering the majority. One annotator's grade predicts the other's label with AUROC
{ceiling_auroc:.2f} and an average precision of {ceiling_ap:.2f}: the ceiling.

| protocol | figure | builtin | 95 % interval | chance |
|---|---|---|---|---|
{figures}

| label | AUROC, unseen videos | unseen makers | precision | recall | frames flagged | frames with it |
|---|---|---|---|---|---|---|
{labels}

By what made the clip, on unseen videos: macro AUROC, and frames flagged / frames with the label.

| maker | videos | AUROC | boundary | texture | motion | object |
|---|---|---|---|---|---|---|
{makers}

Protocol `videos`: five folds, no video on both sides. Protocol `generators`: one maker of clips left out at a time,
with all makers' frames then ranked together; it is the harder one, and texture does not pass it: it is `unproven`.
Protocol `frames` is one random split over frames, with frames of the same clip on both sides: it measures how well
clips are memorised. All figures, per label and maker and with how they were obtained, are in `card.json`.

## Data

816 frames of 136 generated clips, six in a row at two per second: 81 of OpenAI's Sora (its research preview of 2024 and
sora.com in December 2024), 24 of the Wan 2.1 family, 24 of the CogVideoX family, 7 of VideoPhy-2's mix. Each frame was
graded 0 to 3 for each label by two vision-language models working from a written guide, not by people; they agree with
Cohen's kappa of 0.6 to 0.7. A frame shows a label from a mean grade of 1.5 on. And 64 frames of 11 clips of camera
footage, without defects.

## Limits

- A label's flag is right about every second time for boundary, motion and object, every third time for texture.
- Thresholds flag as many frames as show the label where it was measured. Elsewhere that may be more or fewer: see the
  table by maker.
- Defects smaller than a few pixels at 224×384 are not seen. Sampled at another rate than two per second, neighbouring
  frames change more or less than those it was fitted to.
- Mostly 480p and 720p; mostly people, animals, streets and landscapes. Cartoons and screens were not in the data.

## Not to be used for

- Telling generated video from real video. It was not fitted to that, and some camera footage gets flags as well.
- Judging a person, a work or an account, taking anything down, or any decision about people.
- Ranking generators against each other without labels of your own from each of them.

## Origin

A linear head on frozen ImageNet weights, see `NOTICE`. `make builtin` fits it again to the same data in half an hour;
figures are the same up to the rounding of another processor. Licence: Apache-2.0.
"""


def main(folder: Path) -> None:
    card = load_checkpoint(folder).card
    ceiling = card.metrics["protocols"]["videos"]["ceiling"]["macro"]
    text = TEXT.format(
        figures="\n".join(figure_rows(card)),
        labels="\n".join(label_rows(card)),
        makers="\n".join(maker_rows(card)),
        ceiling_auroc=ceiling["auroc"]["value"],
        ceiling_ap=ceiling["average_precision"]["value"],
    )
    (folder / "MODEL_CARD.md").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
