"""Controls of a selection: other documents of as many tokens, chosen without what the selection was chosen by."""
