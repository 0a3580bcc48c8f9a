"""A vision-language model as a judge: guide, requests, answers, consistency, and whether it beats the scorer."""
