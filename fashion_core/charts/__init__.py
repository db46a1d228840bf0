"""Charts: pure functions from a DataFrame to a `ChartSpec`, which holds an Altair spec and its rows apart.

`base` has what all charts share: the theme's inks, axes, tooltips and the filling of a spec. Each other module draws
for one part of a page; `files` and `evaluation_tables` also make the frames and sentences that stand beside a chart.
`texts` has the words of all.
"""
