//! Panels with lines, as an SVG.

use std::fmt::Write;

use jiff::Timestamp;

use crate::prometheus::Points;

const COLUMNS: usize = 3;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 230.0;
/// Room around the lines of a panel: left for the scale, below for time and legend.
const LEFT: f64 = 44.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 12.0;
const BELOW: f64 = 62.0;
/// Lines whose names the legend holds.
const LEGEND_MAX: usize = 8;
const COLOURS: [&str; 8] = ["#3274d9", "#e0752d", "#37872d", "#a352cc", "#c4162a", "#1f9e9e", "#8f6b32", "#6e7079"];

/// One line.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Points,
}

/// One panel.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) lines: Vec<Line>,
}

/// The whole picture, over the span.
#[expect(clippy::cast_precision_loss, reason = "a handful of panels")]
pub(crate) fn draw(panels: &[Panel], span: (Timestamp, Timestamp)) -> String {
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#f4f5f5\"/>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        let (x, y) = (WIDTH * (index % COLUMNS) as f64, HEIGHT * (index / COLUMNS) as f64);
        add(&mut svg, &format!("<g transform=\"translate({x},{y})\">"));
        draw_panel(&mut svg, panel, (span.0.as_second() as f64, span.1.as_second() as f64));
        add(&mut svg, "</g>");
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, panel: &Panel, (begin, end): (f64, f64)) {
    let Panel { title, lines } = panel;
    let (inner_width, inner_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BELOW);
    let top = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value).fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.05 } else { 1.0 };
    let (card_width, card_height) = (WIDTH - 8.0, HEIGHT - 8.0);
    add(
        svg,
        &format!(
            "<rect x=\"4\" y=\"4\" width=\"{card_width}\" height=\"{card_height}\" rx=\"3\" fill=\"#fff\" stroke=\"#dcdee0\"/>"
        ),
    );
    add(svg, &format!("<text x=\"12\" y=\"21\" font-weight=\"bold\" fill=\"#24292e\">{}</text>", escaped(title)));
    for step in [0.0, 0.5, 1.0] {
        let y = TOP + inner_height * (1.0 - step);
        let (right, label_y) = (LEFT + inner_width, y + 4.0);
        add(svg, &format!("<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#e6e7e9\"/>"));
        let label = scale(top * step);
        let at = LEFT - 4.0;
        add(svg, &format!("<text x=\"{at}\" y=\"{label_y:.1}\" text-anchor=\"end\" fill=\"#6e7079\">{label}</text>"));
    }
    let seconds = end - begin;
    let (time_y, time_x) = (TOP + inner_height + 14.0, LEFT + inner_width);
    add(svg, &format!("<text x=\"{LEFT}\" y=\"{time_y}\" fill=\"#6e7079\">0 s</text>"));
    add(
        svg,
        &format!("<text x=\"{time_x}\" y=\"{time_y}\" text-anchor=\"end\" fill=\"#6e7079\">{seconds:.0} s</text>"),
    );
    for (index, line) in lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let place = |(time, value): &(f64, f64)| {
            let x = LEFT + inner_width * (time - begin) / seconds;
            let y = TOP + inner_height * (1.0 - value / top);
            format!("{x:.1},{y:.1}")
        };
        let points: Vec<String> = line.points.iter().map(place).collect();
        let points = points.join(" ");
        add(svg, &format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"));
    }
    draw_legend(svg, lines);
}

/// Four names in a row; how many more there are.
#[expect(clippy::cast_precision_loss, reason = "a handful of names")]
fn draw_legend(svg: &mut String, lines: &[Line]) {
    let column = (WIDTH - 16.0) / 4.0;
    for (index, line) in lines.iter().take(LEGEND_MAX).enumerate() {
        let x = 12.0 + column * (index % 4) as f64;
        let y = HEIGHT - BELOW + 32.0 + 14.0 * (index / 4) as f64;
        let (colour, text_x, mark_y) = (COLOURS[index % COLOURS.len()], x + 12.0, y - 4.0);
        let name: String = line.name.chars().take(17).collect();
        add(svg, &format!("<rect x=\"{x}\" y=\"{mark_y}\" width=\"9\" height=\"3\" fill=\"{colour}\"/>"));
        add(
            svg,
            &format!("<text x=\"{text_x}\" y=\"{y}\" font-size=\"10\" fill=\"#24292e\">{}</text>", escaped(&name)),
        );
    }
    if lines.len() > LEGEND_MAX {
        let (x, more) = (WIDTH - 14.0, lines.len() - LEGEND_MAX);
        add(svg, &format!("<text x=\"{x}\" y=\"21\" text-anchor=\"end\" fill=\"#6e7079\">and {more} more</text>"));
    }
}

fn scale(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn add(svg: &mut String, element: &str) {
    writeln!(svg, "{element}").expect("a string takes everything");
}
