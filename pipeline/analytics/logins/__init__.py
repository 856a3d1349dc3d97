"""What login_baseline.py consists of: logins as rows, the profile of a principal, what is odd about a login, and its words."""
