"""DCASE Task 2 (2020 to 2026) and MIMII DG, in any of their trees and naming schemes."""
