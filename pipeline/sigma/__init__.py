"""One Sigma rule at a time; imports no Spark.

load.py (with documents.py) reads rules and their cases; repairs.py puts right what pySigma reads otherwise than the specification.
terms.py (with networks.py) says what one term of a rule means on a frame, compile.py (with values.py, regexes.py) turns a rule into a
tree of terms, explain.py tells why a rule did or did not match one event, lint.py (with known.py) refuses rules that are wrong or
unproven. kernel/detect.py runs all rules over a batch; tests/conformance/ is what all of it is held to.
"""
