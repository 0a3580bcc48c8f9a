"""The scoring pipeline: plan, decode and classify on Ray Data in rounds until nothing is left, settle, commit."""
