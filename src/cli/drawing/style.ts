/** How drawings look, in light and in dark. Every text stands out from its ground by 4.5 to 1 or more (WCAG 2.2, 1.4.3). */
export const DRAWING_STYLE = `
:root { --ground: #ffffff; --rim: #d0d7de; --box: #eef2f6; --line: #57606a; --text: #1f2328; --fine: #57606a; --card: #ffffff;
  --go: #0a5cb8; --back: #9a4a00; --tunnel: #dcebfb; --good: #116329; --bad: #b3151d; --open: #7a4d00;
  --good-ground: #dafbe1; --bad-ground: #ffebe9; --open-ground: #fff3c4; --on: #ffffff }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0d1117; --rim: #30363d; --box: #1c232c; --line: #8b949e; --text: #e6edf3; --fine: #9ea7b3; --card: #0d1117;
    --go: #6cb6ff; --back: #f0a35e; --tunnel: #12263f; --good: #56d364; --bad: #ff938a; --open: #e3b341;
    --good-ground: #12301c; --bad-ground: #40171a; --open-ground: #33270a; --on: #0d1117 }
}
svg text { font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: var(--text); white-space: pre }
svg .ground { fill: var(--ground); stroke: var(--rim) }
svg .box { fill: var(--box); stroke: var(--line); stroke-width: 1.5 }
svg .outside .box { stroke-dasharray: 5 4 }
svg .title, svg .name { font: 600 16px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
svg .fine { fill: var(--fine) }
svg .label { font-weight: 600 }
svg .on-tunnel, svg .on-link { paint-order: stroke; stroke: var(--tunnel); stroke-width: 8; stroke-linejoin: round } svg .on-link { stroke: var(--ground) }
svg .idle .box, svg .idle .chip { fill: var(--ground); stroke: var(--fine); stroke-width: 1 } svg .idle text { fill: var(--fine) }
svg .tunnel { fill: var(--tunnel); stroke: var(--go) }
svg .tube { fill: none; stroke: var(--tunnel); stroke-width: 18; stroke-linecap: round }
svg .chip { fill: var(--card); stroke: var(--line) }
svg .dot { fill: var(--line) }
svg .card { fill: var(--card); stroke-width: 1.5 }
svg .card.request { stroke: var(--go) } svg .card.answer { stroke: var(--back); stroke-dasharray: 6 3 }
svg .track { fill: none; stroke-width: 2 }
svg .track.request { stroke: var(--go) } svg .track.answer { stroke: var(--back); stroke-dasharray: 6 4 }
svg .track.idle { stroke: var(--line); stroke-width: 1 }
svg .head.request, svg .badge.request { fill: var(--go) } svg .head.answer, svg .badge.answer { fill: var(--back) }
svg .number { fill: var(--on); font-weight: 700 }
svg .mark { fill: var(--open-ground); stroke: var(--open) }
svg .mark.dies { fill: var(--bad-ground); stroke: var(--bad); stroke-width: 2 } svg .mark.arrives { fill: var(--good-ground); stroke: var(--good) }
svg .card.dies { fill: var(--bad-ground); stroke: var(--bad); stroke-width: 2 } svg .card.unknown, svg .card.leaves { fill: var(--open-ground) }
svg .word { font-weight: 700; fill: var(--open) } svg .word.dies { fill: var(--bad) } svg .word.arrives { fill: var(--good) }
svg .sign { fill: var(--open) } svg .sign.dies { fill: var(--bad) } svg .sign.arrives { fill: var(--good) }
svg .stroke { fill: none; stroke: var(--on); stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round }
`;
