"""Prediction heads, one file each; `histoscribe.predict.HEADS` lists them."""
