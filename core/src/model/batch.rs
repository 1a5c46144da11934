//! Right-padded token ids of several notes.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::error::Error;

/// Ids of `B` notes, padded on the right to one length.
///
/// With a causal mask no token sees what stands to its right, so padding changes no number of a note; what
/// stands at padded positions of an output is meaningless and is never read.
#[derive(Debug, Clone)]
pub struct TokenBatch {
    ids: Tensor<2, Int>,
    notes: Vec<Vec<u32>>,
}

impl TokenBatch {
    /// Pads `notes` to the longest of them.
    ///
    /// # Errors
    /// [`Error::EmptyNote`] if there is no note, or one without a token.
    pub fn new(notes: &[&[u32]], device: &Device) -> Result<Self, Error> {
        let tokens = notes
            .iter()
            .map(|note| note.len())
            .max()
            .ok_or(Error::EmptyNote)?;
        if notes.iter().any(|note| note.is_empty()) {
            return Err(Error::EmptyNote);
        }
        let mut ids = Vec::with_capacity(notes.len() * tokens);
        for note in notes {
            ids.extend(note.iter().map(|id| id.cast_signed()));
            ids.resize(ids.len() + tokens - note.len(), 0); // any id of the vocabulary would do
        }
        let ids = Tensor::from_data(TensorData::new(ids, [notes.len(), tokens]), (device, DType::I32));
        Ok(Self {
            ids,
            notes: notes.iter().map(|note| note.to_vec()).collect(),
        })
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

    /// Number of tokens that have a next token: what a language-modelling loss is summed over.
    #[must_use]
    pub fn num_targets(&self) -> usize {
        self.notes.iter().map(|note| note.len() - 1).sum()
    }

    /// Place of each note's last token among the `B·T` rows.
    pub(crate) fn last_rows(&self) -> Vec<i32> {
        let tokens = self.dims()[1];
        self.notes
            .iter()
            .enumerate()
            .map(|(b, note)| row(b * tokens + note.len() - 1))
            .collect()
    }

    /// Places of the tokens that have a next token among the `B·T` rows, and those next tokens.
    pub(crate) fn next_token_rows(&self) -> (Vec<i32>, Vec<i32>) {
        let tokens = self.dims()[1];
        let mut rows = Vec::with_capacity(self.num_targets());
        let mut targets = Vec::with_capacity(self.num_targets());
        for (b, note) in self.notes.iter().enumerate() {
            for (t, next) in note.iter().skip(1).enumerate() {
                rows.push(row(b * tokens + t));
                targets.push(next.cast_signed());
            }
        }
        (rows, targets)
    }

    /// A row of whole numbers on the batch's device.
    pub(crate) fn int_row(&self, values: Vec<i32>) -> Tensor<1, Int> {
        let length = values.len();
        Tensor::from_data(
            TensorData::new(values, [length]),
            (&self.ids.device(), DType::I32),
        )
    }
}

fn row(index: usize) -> i32 {
    i32::try_from(index).expect("a batch holds fewer than 2^31 tokens")
}
