"""From labelled frames to trained weights, as far as it needs no Ray.

settings      how one model is trained
labelled      labels and clips brought together
frame_table   the decoded frames with their labels, kept between runs
initial       the weights that training starts from
augment       what frames may look like and still show the same artifacts
optimisation  loss, optimiser, schedule and moving average, all timm's
loop          one epoch, and logits
history       what each epoch gave, as Parquet and as curves
cost          what a backbone costs to run
"""
