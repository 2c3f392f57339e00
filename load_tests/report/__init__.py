"""The report: REPORT.md and its pictures, made of the committed measurements.

It measures nothing. README, capacity plan and the implementation's deck take their figures from here.
"""
