//! Right-padded token ids of several notes.

use burn::tensor::{Bool, DType, Device, Int, Tensor, TensorData};

use crate::error::Error;

/// Ids of `B` notes, padded on the right to one length.
///
/// With a causal mask no token sees what stands to its right, and an encoder is told where [`padding`](Self::padding)
/// stands; so it changes no number of a note. What stands there in an output is meaningless and is never read.
#[derive(Debug, Clone)]
pub struct TokenBatch {
    ids: Tensor<2, Int>,
    notes: Vec<Vec<u32>>,
    /// Whether a head reads the last place of every row, padding or not.
    reads_padding: bool,
    /// Whether padding is left out wherever tokens are computed one by one.
    is_unpadded: bool,
}

impl TokenBatch {
    /// Pads `notes` to the longest of them.
    ///
    /// # Errors
    /// [`Error::EmptyNote`] if there is no note, or one without a token.
    pub fn new(notes: &[&[u32]], device: &Device) -> Result<Self, Error> {
        let tokens = notes.iter().map(|note| note.len()).max().ok_or(Error::EmptyNote)?;
        if notes.iter().any(|note| note.is_empty()) {
            return Err(Error::EmptyNote);
        }
        let notes: Vec<Vec<u32>> = notes.iter().map(|note| note.to_vec()).collect();
        let ids = padded(&notes, tokens, 0, device); // any id of the vocabulary would do
        Ok(Self { ids, notes, reads_padding: false, is_unpadded: false })
    }

    /// The same notes, those below `tokens` tokens padded to that many with `pad_id`, where a head reads the last place of
    /// every row: a query at padding that sees the note's tokens and no padding.
    #[must_use]
    pub fn read_at(&self, tokens: usize, pad_id: u32) -> Self {
        let tokens = tokens.max(self.dims()[1]);
        let ids = padded(&self.notes, tokens, pad_id, &self.ids.device());
        Self { ids, notes: self.notes.clone(), reads_padding: true, is_unpadded: false }
    }

    /// The same notes, their tokens laid end to end wherever they are computed one by one, which is everywhere but in
    /// attention: padding costs nothing there. Adapters must act on every note alike.
    #[must_use]
    pub fn without_padding(self) -> Self {
        let is_ragged = self.notes.iter().any(|note| note.len() != self.notes[0].len());
        Self { is_unpadded: is_ragged && !self.reads_padding, ..self }
    }

    /// Whether hidden states are laid end to end, `[1, tokens of all notes, D]`, rather than `[B, T, D]`.
    pub(crate) fn is_unpadded(&self) -> bool {
        self.is_unpadded
    }

    /// Whether an output at padding is read, so that padding must be hidden from it.
    pub(crate) fn reads_padding(&self) -> bool {
        self.reads_padding
    }

    /// `[B, T]`.
    #[must_use]
    pub fn ids(&self) -> Tensor<2, Int> {
        self.ids.clone()
    }

    /// `B` and `T`.
    #[must_use]
    pub fn dims(&self) -> [usize; 2] {
        self.ids.dims()
    }

    /// Where no token stands, `[B, T]`.
    #[must_use]
    pub fn padding(&self) -> Tensor<2, Bool> {
        let [notes, tokens] = self.dims();
        let lengths = self.lengths().map(row).collect();
        let lengths = self.int_row(lengths).reshape([notes, 1]);
        let places = Tensor::<1, Int>::arange(0..tokens as i64, (&self.ids.device(), DType::I32));
        let places = places.reshape([1, tokens]).expand([notes, tokens]);
        places.greater_equal(lengths.expand([notes, tokens]))
    }

    /// Number of tokens of each note.
    pub fn lengths(&self) -> impl Iterator<Item = usize> {
        self.notes.iter().map(Vec::len)
    }

    /// Number of tokens that have a token of the note before them: what a language-modelling loss is summed over. With
    /// virtual tokens before a note its first token is predicted as well: see
    /// [`CausalLm::num_targets`](super::head::CausalLm::num_targets).
    #[must_use]
    pub fn num_targets(&self) -> usize {
        self.notes.iter().map(|note| note.len() - 1).sum()
    }

    /// Place of the first of each note's rows, `before` of which precede its tokens.
    fn starts(&self, before: usize) -> impl Iterator<Item = usize> {
        let padded = before + self.dims()[1];
        let lengths =
            self.notes.iter().map(move |note| if self.is_unpadded { before + note.len() } else { padded });
        lengths.scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some(start)
        })
    }

    /// Place of the row a head reads of each note, its last token's, `before` rows preceding each note.
    pub(crate) fn read_rows(&self, before: usize) -> Vec<i32> {
        let tokens = self.dims()[1];
        let read = |note: &Vec<u32>| if self.reads_padding { tokens } else { note.len() };
        let notes = self.notes.iter().zip(self.starts(before));
        notes.map(|(note, start)| row(start + before + read(note) - 1)).collect()
    }

    /// Places of the rows that predict a token, and those tokens, `before` rows preceding each note.
    pub(crate) fn next_token_rows(&self, before: usize) -> (Vec<i32>, Vec<i32>) {
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (note, start) in self.notes.iter().zip(self.starts(before)) {
            for (t, target) in note.iter().enumerate() {
                // The row before a token predicts it; the very first row of all has none before it.
                if before + t > 0 {
                    rows.push(row(start + before + t - 1));
                    targets.push(target.cast_signed());
                }
            }
        }
        (rows, targets)
    }

    /// Of the `B·(before + T)` rows with padding, those that hold something, in order.
    pub(crate) fn held_rows(&self, before: usize) -> Vec<usize> {
        let padded = before + self.dims()[1];
        let of_note = |(note, ids): (usize, &Vec<u32>)| note * padded..note * padded + before + ids.len();
        self.notes.iter().enumerate().flat_map(of_note).collect()
    }

    /// A row of whole numbers on the batch's device.
    pub(crate) fn int_row(&self, values: Vec<i32>) -> Tensor<1, Int> {
        let length = values.len();
        Tensor::from_data(TensorData::new(values, [length]), (&self.ids.device(), DType::I32))
    }
}

/// Ids `[B, tokens]`.
fn padded(notes: &[Vec<u32>], tokens: usize, pad_id: u32, device: &Device) -> Tensor<2, Int> {
    let mut ids = Vec::with_capacity(notes.len() * tokens);
    for note in notes {
        ids.extend(note.iter().map(|id| id.cast_signed()));
        ids.resize(ids.len() + tokens - note.len(), pad_id.cast_signed());
    }
    Tensor::from_data(TensorData::new(ids, [notes.len(), tokens]), (device, DType::I32))
}

fn row(index: usize) -> i32 {
    i32::try_from(index).expect("a batch holds fewer than 2^31 tokens")
}
