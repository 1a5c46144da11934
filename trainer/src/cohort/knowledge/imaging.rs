//! Radiology beyond the chest film: which study goes with which problem, and what it shows.

use super::System;

/// A study and what it tends to show.
#[derive(Debug)]
pub(in crate::cohort) struct Study {
    /// As it is ordered: NOTEEVENTS.DESCRIPTION.
    pub(in crate::cohort) name: &'static str,
    /// Systems whose problems call for it.
    pub(in crate::cohort) systems: &'static [System],
    /// Problems that call for it, by key, whatever their system; if any are named, only they show the abnormal findings.
    pub(in crate::cohort) keys: &'static [&'static str],
    /// Chance of being done where it is called for.
    pub(in crate::cohort) done: f64,
    /// How it is done.
    pub(in crate::cohort) technique: &'static str,
    /// The question.
    pub(in crate::cohort) question: &'static str,
    /// Findings and impression when there is nothing new.
    pub(in crate::cohort) normal: [&'static str; 2],
    /// Findings and impression when there is.
    pub(in crate::cohort) abnormal: [&'static str; 2],
}

/// All of them but the chest film.
pub(in crate::cohort) static STUDIES: &[Study] = &[
    Study {
        name: "CT HEAD W/O CONTRAST",
        systems: &[System::Neurological, System::Toxicological],
        keys: &["intracerebral hemorrhage", "subarachnoid hemorrhage", "subdural hematoma", "head injury", "cardiac arrest"],
        done: 0.7,
        technique: "Contiguous axial images of the brain were obtained without contrast.",
        question: "{? bleed|r/o ICH|eval for acute process|interval change}",
        normal: [
            "There is no {acute intracranial hemorrhage|evidence of hemorrhage}, edema, mass effect or shift of normally midline structures. {Ventricles and sulci are prominent, consistent with age related volume loss|The ventricles and sulci are normal in size}. {Visualized paranasal sinuses are clear|Mild mucosal thickening of the ethmoid air cells}. No fracture.",
            "No {acute intracranial process|acute hemorrhage}.{ Chronic small vessel ischemic disease.|}",
        ],
        abnormal: [
            "There is {hyperdense blood|a <9-34> mm collection of blood} {overlying the <side> hemisphere|in the <side> basal ganglia|in the basal cisterns} with {<3-11> mm of midline shift|effacement of the adjacent sulci|no midline shift}. {The ventricles are {mildly|} dilated|Basal cisterns are patent}. No fracture is seen.",
            "{Acute|Large|Interval increase in} intracranial hemorrhage{ with mass effect|, unchanged from the outside study|}.{ Findings discussed with Dr. <doctor> at the time of interpretation.|}",
        ],
    },
    Study {
        name: "CT ABD & PELVIS WITH CONTRAST",
        systems: &[System::Gastrointestinal, System::Hepatobiliary, System::Oncological, System::Urological],
        keys: &["pancreatitis", "perforated viscus", "bowel obstruction", "mesenteric ischemia", "appendicitis", "clostridium colitis"],
        done: 0.55,
        technique: "MDCT images were acquired from the lung bases to the pubic symphysis after 130 cc of Optiray.",
        question: "{abd pain, ? obstruction|eval for abscess|r/o perforation|assess for intra-abdominal process}",
        normal: [
            "The liver, spleen, adrenals and pancreas are unremarkable. {The gallbladder is surgically absent|Gallstones without wall thickening}. {Simple cyst in the <side> kidney|Kidneys enhance symmetrically}. No free air or free fluid. {Scattered diverticula without diverticulitis|Small and large bowel are normal in caliber}.",
            "No acute intra-abdominal process.{ Cholelithiasis.| Diverticulosis.|}",
        ],
        abnormal: [
            "{Dilated loops of small bowel to <32-52> mm with a transition point in the <side> lower quadrant|Peripancreatic stranding and fluid|Free air beneath the diaphragm|Diffuse colonic wall thickening}. {Small|Moderate} free fluid. {No drainable collection|A <3-8> cm rim-enhancing collection in the pelvis}. {Small bilateral pleural effusions|Bibasilar atelectasis}.",
            "Findings {concerning for|consistent with} {an acute abdominal process as above|the clinical diagnosis}.{ Dr. <doctor> was paged with the results.|}",
        ],
    },
    Study {
        name: "CTA CHEST W&W/O C&RECONS, NON-CORONARY",
        systems: &[System::Vascular],
        keys: &["pulmonary embolism"],
        done: 0.75,
        technique: "CT angiogram of the chest, multiplanar reformations reviewed.",
        question: "{? PE|r/o dissection|eval aorta}",
        normal: [
            "No filling defect in the pulmonary arteries to the {segmental|subsegmental} level. {The aorta is normal in caliber|Atherosclerotic calcification of the aorta}. No {lymphadenopathy|pneumothorax}.",
            "{No pulmonary embolism.|No PE or acute aortic pathology.}",
        ],
        abnormal: [
            "Filling defects in the {main pulmonary arteries bilaterally|<side> lower lobe segmental branches}. {The right ventricle is dilated|No evidence of right heart strain}. {Peripheral wedge shaped opacity, likely infarct|No effusion}.",
            "{Bilateral|<Side>-sided} pulmonary emboli{ with right heart strain|}.",
        ],
    },
    Study {
        name: "LIVER OR GALLBLADDER US (SINGLE ORGAN)",
        systems: &[System::Hepatobiliary],
        keys: &["cholangitis", "cholecystitis"],
        done: 0.45,
        technique: "Grayscale and Doppler ultrasound of the right upper quadrant.",
        question: "{? cholecystitis|eval for biliary dilatation|portal vein patency}",
        normal: [
            "{The liver is coarse and nodular|Normal hepatic echotexture}. No intra- or extrahepatic biliary dilatation. {Main portal vein is patent|Portal flow is hepatopetal}. {Small|Moderate|No} ascites.",
            "{Cirrhosis with ascites|No biliary dilatation}.",
        ],
        abnormal: [
            "Distended gallbladder with {wall thickening|pericholecystic fluid} and {stones|sludge}. The common duct measures <7-15> mm. {Positive sonographic Murphy sign|Murphy sign could not be assessed}.",
            "{Acute cholecystitis|Dilated common duct, distal stone not excluded}.",
        ],
    },
    Study {
        name: "RENAL U.S.",
        systems: &[System::Renal, System::Urological],
        keys: &["obstructive uropathy", "kidney stone"],
        done: 0.5,
        technique: "Ultrasound of the kidneys and bladder.",
        question: "{? hydronephrosis|r/o obstruction|ARF}",
        normal: [
            "The right kidney measures <9-12>.<0-9> cm, the left <9-12>.<0-9> cm. No {hydronephrosis|stones or hydronephrosis}. {Echogenic cortex|Simple cyst on the <side>}.",
            "No hydronephrosis.",
        ],
        abnormal: [
            "{Moderate|Severe} <side> hydronephrosis. {A <4-11> mm stone at the UVJ|The bladder is distended}. Cortex is {thinned|preserved}.",
            "<Side> hydronephrosis.",
        ],
    },
    Study {
        name: "CT C-SPINE W/O CONTRAST",
        systems: &[System::Trauma],
        keys: &["spine fracture"],
        done: 0.6,
        technique: "Axial images of the cervical spine with sagittal and coronal reformats.",
        question: "{trauma|s/p fall|? fracture}",
        normal: [
            "No fracture or malalignment. {Multilevel degenerative change|Disc heights are preserved}. Prevertebral soft tissues are normal.",
            "No acute fracture{ or malalignment|}.",
        ],
        abnormal: [
            "{Fracture of C<2-7> through the body and lamina|Type II dens fracture with <2-4> mm displacement}. {Prevertebral swelling|Canal is patent}.",
            "Acute cervical fracture as above; MRI {advised|recommended}.",
        ],
    },
    Study {
        name: "HIP UNILAT MIN 2 VIEWS",
        systems: &[System::Musculoskeletal],
        keys: &["hip fracture"],
        done: 0.6,
        technique: "AP pelvis and lateral view of the <side> hip.",
        question: "{s/p fall, ? fx|post op|hardware position}",
        normal: [
            "{No fracture or dislocation|Hardware is in satisfactory position}. {Degenerative change of the joint|Soft tissues are unremarkable}.",
            "No {acute fracture|complication}.",
        ],
        abnormal: [
            "{Intertrochanteric|Subcapital} fracture of the <side> femur with {varus angulation|displacement}. Bones are demineralized.",
            "<Side> hip fracture.",
        ],
    },
    Study {
        name: "UNILAT LOWER EXT VEINS",
        systems: &[System::Vascular, System::Skin, System::Oncological],
        keys: &["deep vein thrombosis"],
        done: 0.25,
        technique: "Grayscale, color and Doppler ultrasound of the <side> leg.",
        question: "{? DVT|leg swelling}",
        normal: [
            "Normal compressibility and flow of the <side> common femoral, superficial femoral and popliteal veins.",
            "No DVT.",
        ],
        abnormal: [
            "Occlusive thrombus in the <side> {common femoral|popliteal} vein{ extending into the calf|}.",
            "<Side> lower extremity DVT.",
        ],
    },
];
