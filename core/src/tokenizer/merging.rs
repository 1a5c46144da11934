//! SentencePiece's merge loop: the best-scored pair of neighbours is joined until none is left.
//!
//! A pair can be joined if its joined text is a piece. The best score wins, and the leftmost pair among equals.
//! User-defined pieces are matched first and stay as they are; unused pieces may be joined on the way to longer
//! ones, and are split again where they remain.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::model_proto::Kind;
use super::sentencepiece::SentencePiece;

/// The pieces `text` is made of in the end; what no piece matches comes out character by character.
pub(super) fn final_pieces<'a>(model: &'a SentencePiece, text: &'a str) -> Vec<&'a str> {
    let mut merging =
        Merging { model, text, symbols: Vec::new(), queue: BinaryHeap::new(), parts: HashMap::new() };
    merging.split_into_symbols();
    merging.join();
    merging.split_unused()
}

/// The state of the merge loop over one text.
struct Merging<'a> {
    model: &'a SentencePiece,
    text: &'a str,
    /// A linked list in one vector: merging joins a symbol with the next and leaves the next one empty.
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
    /// The two parts of every unused piece met, to split it again at the end.
    parts: HashMap<&'a str, (&'a str, &'a str)>,
}

#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    len: usize,
    prev: Option<usize>,
    next: Option<usize>,
    /// A user-defined piece: takes part in no merge.
    frozen: bool,
}

/// Two neighbours that may be joined.
#[derive(PartialEq)]
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        // SentencePiece 0.2.3 puts 0.0 above -0.0, the score of LLaMA's first merge, as `total_cmp` does.
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}

impl<'a> Merging<'a> {
    /// User-defined pieces, longest first, and single characters for the rest.
    fn split_into_symbols(&mut self) {
        let mut start = 0;
        while let Some(char) = self.text[start..].chars().next() {
            let same_start = self.model.user_defined.get(&char).map_or(&[][..], Vec::as_slice);
            let user_defined =
                same_start.iter().find(|&piece| self.text[start..].starts_with(piece.as_str()));
            let len = user_defined.map_or(char.len_utf8(), String::len);
            let index = self.symbols.len();
            let next = (start + len < self.text.len()).then_some(index + 1);
            self.symbols.push(Symbol {
                start,
                len,
                prev: index.checked_sub(1),
                next,
                frozen: user_defined.is_some(),
            });
            start += len;
        }
    }

    fn join(&mut self) {
        for right in 1..self.symbols.len() {
            self.consider(Some(right - 1), Some(right));
        }
        while let Some(Candidate { left, right, len, .. }) = self.queue.pop() {
            let (a, b) = (self.symbols[left], self.symbols[right]);
            // One of the two has been joined with another neighbour since.
            if a.len == 0 || b.len == 0 || a.len + b.len != len {
                continue;
            }
            self.symbols[left].len = len;
            self.symbols[left].next = b.next;
            if let Some(next) = b.next {
                self.symbols[next].prev = Some(left);
            }
            self.symbols[right].len = 0;
            self.consider(a.prev, Some(left));
            self.consider(Some(left), b.next);
        }
    }

    fn consider(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else {
            return;
        };
        let (a, b) = (self.symbols[left], self.symbols[right]);
        if a.frozen || b.frozen {
            return;
        }
        let len = a.len + b.len;
        let joined = &self.text[a.start..a.start + len];
        let Some(&id) = self.model.ids.get(joined) else {
            return;
        };
        let piece = &self.model.pieces[id as usize];
        self.queue.push(Candidate { score: piece.score, left, right, len });
        if piece.kind == Kind::Unused {
            self.parts.insert(joined, joined.split_at(a.len));
        }
    }

    /// What is left, with unused pieces split into the parts they were joined from.
    fn split_unused(&self) -> Vec<&'a str> {
        let mut pieces = Vec::new();
        for symbol in self.symbols.iter().filter(|symbol| symbol.len > 0) {
            let mut open = vec![&self.text[symbol.start..symbol.start + symbol.len]];
            while let Some(piece) = open.pop() {
                let id = self.model.ids.get(piece);
                let unused = id.is_some_and(|&id| self.model.pieces[id as usize].kind == Kind::Unused);
                match self.parts.get(piece).filter(|_| unused) {
                    Some(&(left, right)) => open.extend([right, left]),
                    None => pieces.push(piece),
                }
            }
        }
        pieces
    }
}
