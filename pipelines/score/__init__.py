"""The scoring pipeline: plan, decode and classify in rounds until nothing is left, settle, commit."""
