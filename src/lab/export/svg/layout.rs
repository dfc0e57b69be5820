//! Where nodes stand in a picture: in columns by their distance from one end of the network.
//!
//! ```text
//!   0     1      2     3          the first of two nodes that are farthest apart stands left;
//!   a --- r1 --- r2 -- b          each column is ordered by where its neighbours to the left are
//!          \---- r3 --/
//! ```
//!
//! Promises: the same network gives the same picture.

use std::collections::VecDeque;

/// Pixels from row to row, where there is room.
const ROW: i32 = 74;
/// Below this, names would touch.
const NARROWEST_ROW: i32 = 26;
/// Pixels from column to column at most.
const WIDEST_COLUMN: i32 = 250;
/// Rows are drawn closer where there are more of them than fit in this.
const TALL: i32 = 900;
/// Pixels left free at each side.
const MARGIN: i32 = 80;

/// Where nodes stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) at: Vec<(i32, i32)>,
    pub(super) column: Vec<usize>,
    pub(super) height: i32,
    /// Pixels from row to row.
    pub(super) row: i32,
}

/// Places `count` nodes that `edges` join in a picture `width` pixels wide.
pub(super) fn layout(count: usize, edges: &[(usize, usize)], width: i32) -> Layout {
    let mut neighbors = vec![Vec::new(); count];
    for &(a, b) in edges {
        if a < count && b < count && a != b {
            neighbors[a].push(b);
            neighbors[b].push(a);
        }
    }
    let mut column = vec![usize::MAX; count];
    // A grid cell for each node: column, row. Parts that are not joined stand below each other.
    let mut cells: Vec<(usize, f64)> = vec![(0, 0.0); count];
    let mut top = 0.0;
    for node in 0..count {
        if column[node] != usize::MAX {
            continue;
        }
        let end = far_end(&neighbors, node);
        let start = far_end(&neighbors, end).min(end);
        let columns = columns(&neighbors, start, &mut column);
        let tallest = columns.iter().map(Vec::len).max().unwrap_or(0);
        for (x, nodes) in columns.iter().enumerate() {
            let free = (tallest - nodes.len()) as f64 / 2.0;
            for (y, &node) in nodes.iter().enumerate() {
                cells[node] = (x, top + free + y as f64);
            }
        }
        top += tallest as f64;
    }
    let wide = cells.iter().map(|c| c.0).max().unwrap_or(0).max(1) as i32;
    let row = (TALL / (top as i32).max(1)).clamp(NARROWEST_ROW, ROW);
    let step = ((width - 2 * MARGIN) / wide).min(WIDEST_COLUMN);
    let left = (width - step * wide) / 2;
    let place = |(x, y): &(usize, f64)| {
        let down = (y + 0.5) * f64::from(row);
        (left + step * *x as i32, down as i32)
    };
    Layout {
        at: cells.iter().map(place).collect(),
        height: (top * f64::from(row)) as i32,
        row,
        column,
    }
}

/// A node of those farthest from `start`: the one with the lowest number.
fn far_end(neighbors: &[Vec<usize>], start: usize) -> usize {
    let mut distance = vec![usize::MAX; neighbors.len()];
    distance[start] = 0;
    let (mut queue, mut best) = (VecDeque::from([start]), (0, start));
    while let Some(node) = queue.pop_front() {
        let here = distance[node];
        if here > best.0 || (here == best.0 && node < best.1) {
            best = (here, node);
        }
        for &next in &neighbors[node] {
            if distance[next] == usize::MAX {
                distance[next] = here + 1;
                queue.push_back(next);
            }
        }
    }
    best.1
}

/// The nodes that can be reached from `start`, by distance, each column in order.
fn columns(neighbors: &[Vec<usize>], start: usize, column: &mut [usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![start]];
    column[start] = 0;
    loop {
        let before = all.last().map_or(&[][..], |c| c);
        let number = all.len();
        let mut next = Vec::new();
        for &node in before {
            for &other in &neighbors[node] {
                if column[other] == usize::MAX {
                    column[other] = number;
                    next.push(other);
                }
            }
        }
        if next.is_empty() {
            return all;
        }
        let middle = |node: &usize| {
            let places = neighbors[*node]
                .iter()
                .filter_map(|n| before.iter().position(|b| b == n));
            let places: Vec<usize> = places.collect();
            // In hundredths of a place.
            100 * places.iter().sum::<usize>() / places.len().max(1)
        };
        let mut ranked: Vec<(usize, usize)> = next.iter().map(|n| (middle(n), *n)).collect();
        ranked.sort_unstable();
        all.push(ranked.into_iter().map(|(_, n)| n).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_a_line_and_a_star_is_a_fan() {
        // r1 - a, r1 - r2, r2 - b in a confused order.
        let chain = layout(4, &[(1, 0), (1, 3), (3, 2)], 1200);
        assert_eq!(chain.column, [0, 1, 3, 2]);
        assert!(chain.at.iter().all(|(_, y)| *y == chain.at[0].1));
        let star = layout(6, &[(5, 0), (5, 1), (5, 2), (5, 3), (5, 4)], 1200);
        assert_eq!(star.column, [0, 2, 2, 2, 2, 1]);
    }

    #[test]
    fn no_two_nodes_stand_on_one_spot() {
        let edges: Vec<_> = (0..60).map(|i| (i, (i * 7 + 3) % 40)).collect();
        for (count, edges) in [(3, vec![]), (60, edges), (1, vec![(0, 0)]), (0, vec![])] {
            let layout = layout(count, &edges, 1200);
            let mut spots = layout.at.clone();
            spots.sort_unstable();
            spots.dedup();
            assert_eq!(spots.len(), count);
            assert!(
                spots
                    .iter()
                    .all(|(x, y)| (0..1200).contains(x) && *y <= layout.height)
            );
        }
    }
}
