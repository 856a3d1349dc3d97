"""What escape_chain.py consists of: which signals count, stages on a host, CVE candidates by build, and the story in words."""
