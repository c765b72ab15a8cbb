//! The colours of the page and of its charts, in light and in dark.
//!
//! A chart is drawn in the colours of the light page, each of which stands for one role. In the dark, a rule
//! of the page's style replaces it wherever it stands: `[fill="#1D4ED8"] { fill: #60A5FA }`. So a chart that
//! is taken out of the page is still a picture, and nothing rewrites what the library has drawn.

use std::collections::HashMap;
use std::fmt::Write as _;

use plotters::style::RGBColor;

use crate::report::row::Kind;

/// A colour of the light page and the one that replaces it in the dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    /// In the charts, and on the light page.
    light: u32,
    /// On the dark page.
    dark: u32,
}

const fn colour(light: u32, dark: u32) -> Colour {
    Colour { light, dark }
}

/// Text, axes and whiskers.
pub(crate) const INK: Colour = colour(0x1B_1F24, 0xE6_EAF0);
/// The lines of the grid.
pub(crate) const GRID: Colour = colour(0xDD_E1E7, 0x36_3D47);
/// The bars of ours.
pub(crate) const OURS: Colour = colour(0xE0_6C1F, 0xF2_8A45);
/// The bars of the peers.
pub(crate) const PEER: Colour = colour(0x9D_B0C8, 0x5B_7390);
/// The bars and lines of limits.
pub(crate) const LIMIT: Colour = colour(0x7A_8088, 0x9A_A1AB);

/// The lines of ours: warm.
const WARM: [Colour; 7] = [
    colour(0xD9_4801, 0xFF_8A4C),
    colour(0xC0_1048, 0xFB_7099),
    colour(0xB5_7F00, 0xF7_CF4D),
    colour(0x86_198F, 0xE0_8BEB),
    colour(0x7F_2D1D, 0xE8_A598),
    colour(0xF0_5A7E, 0xFF_B3C6),
    colour(0x6B_4E16, 0xD9_B36C),
];

/// The lines of the peers: cool.
const COOL: [Colour; 9] = [
    colour(0x1D_4ED8, 0x72_A5FB),
    colour(0x0E_8C96, 0x3C_CFD9),
    colour(0x3F_7D20, 0x86_D05B),
    colour(0x47_5569, 0xA8_B8CC),
    colour(0x5B_3CC4, 0xA9_95FA),
    colour(0x05_A36F, 0x3F_D6A0),
    colour(0x38_9BF0, 0xB9_D9FF),
    colour(0x0B_2C6A, 0x5C_7FD6),
    colour(0x7A_9A01, 0xC6_E05A),
];

/// These get their looks first, so that they have the same ones in every report.
const FIRST: [&str; 5] = ["twoply-green", "twoply-fibers", "twoply-native", "tokio-multi", "tokio-current"];

/// The shapes of the points of a line. Their number and that of the colours have no common divisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Disc,
    Square,
    Triangle,
    Ring,
}

/// In the order in which systems get them.
const SHAPES: [Shape; 4] = [Shape::Disc, Shape::Square, Shape::Triangle, Shape::Ring];

/// How a system's line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// What it is.
    pub(crate) kind: Kind,
    /// Of its line and its points.
    pub(crate) colour: Colour,
    /// Of its points.
    pub(crate) shape: Shape,
}

impl Look {
    /// Whether it is one of ours, which is drawn thicker and on top.
    pub(crate) fn is_ours(self) -> bool {
        self.kind == Kind::Ours
    }
}

/// How each system's line looks, on the whole page.
pub(crate) struct Palette(HashMap<String, Look>);

impl Palette {
    /// Looks for all the systems, given out in the order of their names' first appearance.
    pub(crate) fn new<'a>(systems: impl IntoIterator<Item = &'a str>) -> Self {
        let mut looks = HashMap::new();
        let mut counts = [0, 0, 0];
        for system in FIRST.into_iter().chain(systems) {
            if looks.contains_key(system) {
                continue;
            }
            let kind = Kind::of(system);
            let (count, colours): (_, &[Colour]) = match kind {
                Kind::Ours => (&mut counts[0], &WARM),
                Kind::Limit => (&mut counts[1], &[LIMIT]),
                Kind::Peer => (&mut counts[2], &COOL),
            };
            let look =
                Look { kind, colour: colours[*count % colours.len()], shape: SHAPES[*count % SHAPES.len()] };
            looks.insert(system.to_owned(), look);
            *count += 1;
        }
        Self(looks)
    }

    /// How a system's line looks. One that the palette was not told of looks like a limit.
    pub(crate) fn look(&self, system: &str) -> Look {
        let unknown = Look { kind: Kind::of(system), colour: LIMIT, shape: Shape::Disc };
        self.0.get(system).copied().unwrap_or(unknown)
    }
}

impl Colour {
    /// What the library that draws wants.
    pub(crate) fn rgb(self) -> RGBColor {
        let [_, red, green, blue] = self.light.to_be_bytes();
        RGBColor(red, green, blue)
    }

    /// As the library writes it into a chart.
    pub(crate) fn hex(self) -> String {
        format!("#{:06X}", self.light)
    }
}

/// The rules that make the charts fit for the dark.
pub(crate) fn dark_rules() -> String {
    let roles = [INK, GRID, OURS, PEER, LIMIT];
    let mut rules = String::new();
    for Colour { light, dark } in roles.iter().chain(&WARM).chain(&COOL) {
        for attribute in ["fill", "stroke"] {
            // Writing to a string does not fail.
            let _written =
                writeln!(rules, "svg [{attribute}=\"#{light:06X}\"] {{ {attribute}: #{dark:06X} }}");
        }
    }
    rules
}
