"""The page's colours and measures, for screens light and dark, phones and paper.

Colour-blind people can tell them apart: the patterns' colours are Okabe and Ito's (2008), those of
processes and outcomes Paul Tol's (2021); made darker on white and brighter on black where words
are written in them or on them (4.5:1).
"""

LIGHT = """
--paper:#fff;--card:#f6f7f9;--ink:#1a1d21;--soft:#5b636d;--grid:#e2e5e9;--axis:#8a929b;
--s0:#0067a3;--s1:#b84a00;--s2:#00795a;--s3:#6b6b6b;--s4:#8a4a78;
--p0:#2f8f80;--p1:#ddcc77;--p2:#117733;--p3:#88ccee;--p4:#9b3f8c;--p5:#332288;--p6:#c8566a;
--p7:#9aa3ad;--p8:#8a8a2e;--good:#00795a;--bad:#b3261e;--band:#00000009;--on-part:#fff
"""
DARK = """
--paper:#14171a;--card:#1d2125;--ink:#e8eaed;--soft:#a4adb6;--grid:#2c3238;--axis:#6f7881;
--s0:#56b4e9;--s1:#ff9d5c;--s2:#2fc79b;--s3:#b4b4b4;--s4:#e09ac4;
--p0:#44aa99;--p1:#ddcc77;--p2:#3f9c58;--p3:#88ccee;--p4:#c774ba;--p5:#8d82dd;--p6:#dd7788;
--p7:#7b848d;--p8:#c2c25a;--good:#2fc79b;--bad:#ff8a80;--band:#ffffff0c;--on-part:#111
"""
PAGE = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:54rem;background:var(--paper);
color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",
"DejaVu Sans",sans-serif}
h1{font-size:clamp(1.6rem,5vw,2.4rem);line-height:1.15;margin:.2rem 0 .6rem;letter-spacing:-.01em}
h2{font-size:1.3rem;margin:3rem 0 .4rem;padding-top:1rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:1.2rem 0 .2rem}
p{margin:.4rem 0 .8rem;max-width:44rem}ul{padding-left:1.2rem;max-width:44rem}li{margin:.2rem 0}
.eyebrow{color:var(--soft);font-size:.85rem;margin:0}.lead{font-size:1.1rem}
.soft,figcaption{color:var(--soft);font-size:.92rem}
.badge{display:inline-block;border:1.5px solid currentColor;border-radius:99px;
padding:.1rem .7rem;font-size:.85rem;font-weight:600;margin:0 .4rem .4rem 0}
.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:.8rem;
margin:1.2rem 0}
.tile{background:var(--card);border-radius:.7rem;padding:.9rem 1rem}
.tile h3{margin:0}.tile p{margin:.5rem 0 0;font-size:.95rem}
.tile .bar{display:grid;grid-template-columns:8.2rem 1fr 5.2rem;align-items:center;gap:.5rem;
font-size:.88rem;margin:.25rem 0}
.tile .bar i{display:block;height:.8rem;border-radius:.2rem;background:var(--c)}
.tile .bar b{text-align:right;font-variant-numeric:tabular-nums;font-weight:600}
.tile .bar span{color:var(--c);font-weight:600}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.85rem;color:var(--soft);padding:0;
margin:.4rem 0;list-style:none}
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem;margin-right:.35rem;
vertical-align:-.08rem;background:var(--c)}
figure{margin:1rem 0 1.6rem}figcaption{margin-top:.4rem;max-width:44rem}
svg{display:block;width:100%;height:auto}.narrow{display:none}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;margin:.5rem 0;
font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:.2rem 0}
th,td{padding:.25rem .7rem .25rem 0;text-align:right;border-bottom:1px solid var(--grid);
vertical-align:top}
th:first-child{text-align:left;font-weight:400}thead th{font-weight:600}
.facts td,.facts th,td.words{text-align:left}td.words{min-width:14rem}
details{margin:.4rem 0;font-size:.92rem}summary{cursor:pointer;color:var(--soft)}
code{font-size:.9em}footer{margin-top:3rem;color:var(--soft);font-size:.85rem}
"""
CHART = """
svg text{font-family:inherit;font-size:12px;fill:var(--ink)}
svg .unit,svg .mark{fill:var(--soft)}svg .name{fill:var(--c,var(--ink));font-weight:600;
stroke:var(--paper);stroke-width:3px;paint-order:stroke}
.grid{stroke:var(--grid)}.axis{stroke:var(--axis)}.band{fill:var(--band)}
.line{fill:none;stroke:var(--c);stroke-width:2.4;stroke-linejoin:round}
.thin{fill:none;stroke:var(--c);stroke-width:1;opacity:.3}
.fill,.part{fill:var(--c)}.part{stroke:var(--paper);stroke-width:1}
.hollow{fill:var(--paper);stroke:var(--c);stroke-width:2}
.p99{fill:none;stroke:var(--c);stroke-width:1.2;opacity:.7}
.law{fill:none;stroke:var(--c);stroke-width:1.8;stroke-dasharray:1 5;stroke-linecap:round}
.knee{stroke:var(--c);stroke-dasharray:4 3}.bracket{fill:none;stroke:var(--c);stroke-width:2}
.bounds{stroke:var(--c);stroke-width:5;stroke-linecap:round;opacity:.55}
.dot{fill:var(--c);opacity:.45}svg .on{fill:var(--on,var(--on-part));font-weight:600}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}.s4{--c:var(--s4)}
.p0{--c:var(--p0)}.p1{--c:var(--p1);--on:#111}.p2{--c:var(--p2)}.p3{--c:var(--p3);--on:#111}
.p4{--c:var(--p4)}.p5{--c:var(--p5)}.p6{--c:var(--p6)}.p7{--c:var(--p7);--on:#111}.p8{--c:var(--p8)}
.service{fill:var(--c)}.coordination{fill:var(--c);opacity:.55}.wait{fill:var(--c);opacity:.22}
.idle{fill:none;stroke:var(--c);stroke-dasharray:3 2}
.kind{--c:var(--ink)}.key .kind{opacity:1}.key .coordination i{opacity:.55}.key .wait i{opacity:.22}
.key .idle i{background:none;border:1.5px dashed var(--c)}
"""
SMALL = """
@media(max-width:640px){.wide{display:none}.narrow{display:block}
body{padding-top:1rem}.tile .bar{grid-template-columns:7.4rem 1fr 4.6rem}}
"""
PRINT = """
@media print{body{max-width:none;padding:0;font-size:10.5pt}.wide{display:block}
.narrow{display:none}h2{margin-top:1.4rem}h2,h3,section>p,.key,caption{break-after:avoid}
.tile,table,svg,figcaption,.key{break-inside:avoid}.tiles{grid-template-columns:1fr 1fr}
summary{display:none}details::details-content{content-visibility:visible;block-size:auto}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}@page{margin:14mm}}
"""


def style() -> str:
    """All of it, as the content of one style element."""
    light, dark = LIGHT.strip(), DARK.strip()
    return (
        f":root{{{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}"
        "}"
        f"{PAGE}{CHART}{SMALL}{PRINT}"
    )
