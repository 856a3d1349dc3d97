"""One Sigma rule at a time; imports no Spark.

load.py (with documents.py) reads rules and their cases, terms.py says what one term of a rule means on a frame, compile.py (with
values.py) turns a rule into a tree of terms, explain.py tells why a rule did or did not match one event, lint.py (with known.py)
refuses rules that are wrong or unproven. kernel/detect.py runs all rules over a batch.
"""
